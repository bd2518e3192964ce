// One event stream for all pages of this browser: over HTTP/1.1 a browser opens six connections to a server, and no seventh page
// could load if each of six kept a stream open.
'use strict';

const ports = new Set();
let source = null;
let last = null;
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
}

function leave(port) {
  ports.delete(port);
  if (!ports.size && source) {
    source.close();
    source = null;
    last = null;
  }
}

self.onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = (message) => {
    if (message.data === 'bye') {
      leave(port);
      return;
    }
    ports.add(port);
    open();
    if (source && source.readyState === EventSource.OPEN) {
      port.postMessage({ type: 'open' });
      if (last !== null) port.postMessage({ type: 'changed', data: last });
    }
  };
};
