// One event stream for all pages of this browser: over HTTP/1.1 a browser opens six connections to a server, and no seventh page
// could load if each of six kept a stream open.
'use strict';

const ports = new Set();
let source = null;
let last = null;
let here = null;
let timer = 0;

function tell(message) {
  for (const port of ports) port.postMessage(message);
}

function open() {
  clearTimeout(timer);
  if (source || !ports.size) return;
  source = new EventSource('/events');
  source.onopen = () => tell({ type: 'open' });
  source.onerror = () => {
    tell({ type: 'error' });
    if (source && source.readyState === EventSource.CLOSED) {
      // The server said no (it is full, or ending): the browser does not try again by itself.
      source = null;
      timer = setTimeout(open, 2000 + Math.random() * 3000);
    }
  };
  source.addEventListener('changed', (event) => {
    last = event.data;
    tell({ type: 'changed', data: last });
  });
  source.addEventListener('here', (event) => {
    here = event.data;
    tell({ type: 'here', data: here });
  });
}

// A page has heard nothing for too long: a connection that died without a word is only found out by making another.
let renewed = 0;

function renew() {
  const now = Date.now();
  if (!source || now - renewed < 5000) return;
  renewed = now;
  source.close();
  source = null;
  open();
}

function leave(port) {
  ports.delete(port);
  if (!ports.size && source) {
    source.close();
    source = null;
    last = null;
    here = null;
  }
}

self.onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = (message) => {
    if (message.data === 'bye') {
      leave(port);
      return;
    }
    if (message.data === 'renew') {
      renew();
      return;
    }
    ports.add(port);
    open();
    if (source && source.readyState === EventSource.OPEN) {
      port.postMessage({ type: 'open' });
      if (here !== null) port.postMessage({ type: 'here', data: here, late: true });
      if (last !== null) port.postMessage({ type: 'changed', data: last });
    }
  };
};
