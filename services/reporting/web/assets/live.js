// The sign in the corner. It says "live" only while this page hears from the server and the server hears from the exchange.

import { span } from './clock.js';

const sign = document.getElementById('live');
let stream = { on: false, text: 'connecting' };

function show() {
  const standing = document.getElementById('standing');
  const served = !standing || standing.dataset.live === 'yes';
  const on = stream.on && served;
  const text = !stream.on ? stream.text : served ? 'live' : standing.dataset.text;
  if (sign.textContent !== text) sign.textContent = text;
  sign.classList.toggle('on', on);
  sign.classList.toggle('off', !on && stream.text !== 'connecting');
  sign.classList.toggle('heard', stream.on);
}

export function streamIs(on, text = on ? 'live' : 'reconnecting') {
  stream = { on, text };
  show();
}

export function streamSilent(milliseconds) {
  streamIs(false, `no word for ${span(milliseconds)}`);
}

export const standingChanged = show;
