// Opening and closing a period: where the focus goes, and what a refresh must not undo.

const drill = document.getElementById('drill');
let wanted = '';

export function openDrill() {
  return drill.querySelector('[data-open]');
}

export function markOpen() {
  const open = openDrill();
  for (const row of document.querySelectorAll('#board tr[data-figures]')) {
    row.classList.toggle('open', open !== null && row.id === `row-${open.dataset.open}`);
  }
}

function close() {
  const open = openDrill();
  const link = drill.querySelector('#drill-close');
  if (!open || !link) return;
  wanted = 'none';
  window.history.pushState(null, '', link.href);
  drill.textContent = '';
  markOpen();
  // Back to where it was opened, if that is still there to be seen.
  const places = [open.dataset.open, open.dataset.hour].map((id) => document.getElementById(`open-${id}`));
  const place = places.find((each) => each && each.offsetParent !== null);
  if (place) place.focus();
}

// Answers about a period that is not open any more come too late.
export function isLate(path) {
  return wanted !== '' && path !== wanted;
}

export function asked(path) {
  wanted = path;
}

// What was unfolded and how far it was scrolled survives a refresh.
let kept = { id: '', open: new Set(), top: 0 };

export function keep() {
  const scroll = drill.querySelector('#drill-scroll');
  kept = {
    id: openDrill()?.dataset.open ?? '',
    open: new Set([...drill.querySelectorAll('details[open]')].map((each) => each.id)),
    top: scroll ? scroll.scrollTop : 0,
  };
}

export function restore(byHand) {
  const same = openDrill()?.dataset.open === kept.id;
  for (const each of drill.querySelectorAll('details')) each.open = kept.open.has(each.id);
  const scroll = drill.querySelector('#drill-scroll');
  if (scroll && same) scroll.scrollTop = kept.top;
  if (!byHand) return;
  const title = drill.querySelector('#drill-title');
  if (title) title.focus({ preventScroll: true });
  drill.scrollIntoView({ block: 'nearest' });
}

export function listenForClosing() {
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    const menu = document.querySelector('details.menu[open]');
    if (menu) {
      menu.open = false;
      menu.querySelector('summary').focus();
    } else {
      close();
    }
  });
  drill.addEventListener('click', (event) => {
    if (!event.target.closest('#drill-close') || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    close();
  });
}
