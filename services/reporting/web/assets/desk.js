// What the server-rendered page cannot do by itself. Each part has a file; this one puts them together.

import { announce, offerNotifications } from './alerts.js';
import { refreshCharts, refreshHistory, redrawCharts } from './charts.js';
import { count } from './clock.js';
import { asked, isLate, keep, listenForClosing, markOpen, openDrill, restore } from './drill.js';
import { standingChanged } from './live.js';
import { listenForFolding, refold } from './quarters.js';
import { streamOf } from './stream.js';

const board = document.getElementById('board');
const drill = document.getElementById('drill');

window.htmx.createEventSource = streamOf;

let before = new Map();

function rows() {
  return document.querySelectorAll('#board tr[data-figures]');
}

function remember() {
  before = new Map([...rows()].map((row) => [row.id, row.dataset.figures]));
}

function markChanges() {
  for (const row of rows()) {
    row.classList.toggle('changed', before.has(row.id) ? before.get(row.id) !== row.dataset.figures : true);
  }
}

// A link that is replaced between press and release is never clicked: what arrives meanwhile is shown after the release.
let pressed = false;
let postponed = false;

function released() {
  pressed = false;
  if (!postponed) return;
  postponed = false;
  for (const element of document.querySelectorAll('#board, #drill [data-open]')) window.htmx.trigger(element, 'sse:changed');
}

document.addEventListener('pointerdown', () => {
  pressed = true;
});
for (const name of ['pointerup', 'pointercancel']) {
  // The click follows the release.
  window.addEventListener(name, () => window.setTimeout(released, 0));
}

document.addEventListener('htmx:beforeRequest', (event) => {
  if (event.detail.elt.matches('a.period')) asked(event.detail.pathInfo.requestPath);
});

const shown = new Map();

document.addEventListener('htmx:beforeSwap', (event) => {
  const { target, pathInfo, serverResponse } = event.detail;
  const same = shown.get(target.id) === pathInfo.requestPath + serverResponse && target.childElementCount > 0;
  if (target === drill && isLate(pathInfo.requestPath)) {
    event.detail.shouldSwap = false;
  } else if (pressed) {
    event.detail.shouldSwap = false;
    postponed = true;
  } else if (same) {
    // Nothing new: whoever reads or has the focus there is left alone.
    event.detail.shouldSwap = false;
  } else {
    shown.set(target.id, pathInfo.requestPath + serverResponse);
    if (target === board) remember();
    else keep();
  }
});

document.addEventListener('htmx:afterSwap', (event) => {
  if (event.detail.target === board) {
    // At midnight everything around the board is another day's.
    if (document.getElementById('standing').dataset.today !== today) window.location.reload();
    refold();
    markChanges();
    standingChanged();
    announce();
    refreshCharts();
  } else if (event.detail.target === drill) {
    restore(event.detail.requestConfig?.triggeringEvent?.type === 'click');
    refreshHistory();
  }
  count();
  markOpen();
});

window.addEventListener('popstate', () => window.location.reload());
for (const query of ['(prefers-color-scheme: dark)', 'print']) window.matchMedia(query).addEventListener('change', redrawCharts);

const today = document.getElementById('standing').dataset.today;
standingChanged();
announce();
offerNotifications();
listenForClosing();
listenForFolding();
count();
markOpen();
window.setInterval(count, 1000);
refreshCharts();
if (openDrill()) refreshHistory();
