// Times that go on counting, by the server's clock: this one may be minutes off.

let ahead = 0;

export function setServerNow(milliseconds) {
  ahead = milliseconds - Date.now();
}

export function serverNow() {
  return Date.now() + ahead;
}

export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

// The last ten minutes are counted by the second: that is when it matters.
function until(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds <= 0) return 'closed';
  const two = (number) => String(number).padStart(2, '0');
  if (seconds < 600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))}`;
}

const berlin = new Intl.DateTimeFormat('de-DE', { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit', second: '2-digit' });

function worded(element, now) {
  const since = now - Number(element.dataset.ms);
  const kind = element.classList;
  if (kind.contains('fixed')) return element.dataset.text;
  if (kind.contains('until')) return kind.contains('in') && since < 0 ? `in ${until(-since)}` : until(-since);
  if (kind.contains('brief')) return `${span(since)} ago`;
  if (kind.contains('due')) return `${element.dataset.text}, ${since < 0 ? `in ${span(-since)}` : 'now'}`;
  return `${element.dataset.text}, ${span(since)} ago`;
}

function show(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function count() {
  const now = serverNow();
  for (const element of document.querySelectorAll('time[data-ms]')) {
    element.dataset.text ??= element.textContent;
    show(element, worded(element, now));
    const left = Number(element.dataset.ms) - now;
    if (element.closest('.gate')) element.classList.toggle('soon', left > 0 && left < 600000);
  }
  for (const element of document.querySelectorAll('time.clock')) show(element, berlin.format(now));
}
