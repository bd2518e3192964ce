// Say aloud what has gone wrong: to screen readers at once, as a notification of the browser where somebody wants that.

const KEY = 'power-desk-notify';
const spoken = document.getElementById('alerts');
const button = document.getElementById('notify');
// When each was there last. One that comes and goes is told once.
const FORGOTTEN_MS = 300000;
const seen = new Map();
let present = new Set();
let opened = false;

// Without their times, which change by themselves.
function worded(notice) {
  const copy = notice.cloneNode(true);
  for (const time of copy.querySelectorAll('time')) time.remove();
  return copy.textContent.replace(/\s+/g, ' ').replace(/ Since $/, '').trim();
}

function freshOnes() {
  const now = performance.now();
  const notices = [...document.querySelectorAll('#board .notice')];
  const fresh = notices.filter(({ dataset: { key } }) => !present.has(key) && !(now - seen.get(key) < FORGOTTEN_MS));
  // What leaves now was there until now.
  for (const key of present) seen.set(key, now);
  present = new Set(notices.map(({ dataset }) => dataset.key));
  return fresh.map(worded);
}

function wanted() {
  return 'Notification' in window && Notification.permission === 'granted' && localStorage.getItem(KEY) === 'yes';
}

export function announce() {
  const fresh = freshOnes();
  // Whoever opens the page sees what is wrong already; that is no news.
  const first = !opened;
  opened = true;
  if (!fresh.length) return;
  spoken.textContent = fresh.join(' ');
  if (first || !wanted()) return;
  for (const text of fresh) new Notification('Power desk', { body: text, tag: text });
}

function press(on) {
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? 'Notifying' : 'Notify me';
}

export function offerNotifications() {
  // Browsers allow them over HTTPS and on the machine itself only.
  if (!window.isSecureContext || !('Notification' in window)) return;
  button.hidden = false;
  press(wanted());
  button.addEventListener('click', async () => {
    if (wanted()) {
      localStorage.setItem(KEY, 'no');
    } else if ((await Notification.requestPermission()) === 'granted') {
      localStorage.setItem(KEY, 'yes');
    } else {
      spoken.textContent = 'The browser does not allow notifications of this page.';
    }
    press(wanted());
  });
}
