// The event stream: one per browser where pages can share it, with a watch over its silence.

import { setServerNow } from './clock.js';
import { streamIs, streamSilent } from './live.js';

class Stream extends EventTarget {
  constructor() {
    super();
    this.readyState = 0;
    this.onopen = null;
    this.onerror = null;
    this.heardAt = performance.now();
    this.silenceMax = 30000;
    this.watch = window.setInterval(() => this.lookForSilence(), 500);
  }

  heard() {
    this.heardAt = performance.now();
    if (this.readyState === 1) streamIs(true);
  }

  here(data, late) {
    const [now, heartbeat] = data.split(' ').map(Number);
    // One that a worker kept for us says nothing about now.
    if (!late) setServerNow(now);
    this.silenceMax = 3 * heartbeat;
    this.heard();
  }

  // A server that hangs, or a dead path to it, closes nothing: only its silence shows.
  lookForSilence() {
    const silent = performance.now() - this.heardAt;
    if (this.readyState !== 1 || document.hidden || silent < this.silenceMax) return;
    streamSilent(silent);
    if (silent - (this.renewedAfter ?? 0) < this.silenceMax) return;
    this.renewedAfter = silent;
    this.renew();
  }

  opened() {
    this.readyState = 1;
    this.renewedAfter = 0;
    this.heard();
    if (this.onopen) this.onopen(new Event('open'));
  }

  failed() {
    this.readyState = 0;
    streamIs(false);
    if (this.onerror) this.onerror(new Event('error'));
  }

  changed(data) {
    this.heard();
    this.dispatchEvent(new MessageEvent('changed', { data }));
  }

  close() {
    window.clearInterval(this.watch);
    this.readyState = 2;
  }
}

class SharedStream extends Stream {
  constructor() {
    super();
    this.worker = new SharedWorker(document.body.dataset.worker, { name: 'power-desk-events' });
    this.worker.onerror = () => this.failed();
    this.worker.port.onmessage = (message) => {
      if (message.data.type === 'open') this.opened();
      else if (message.data.type === 'error') this.failed();
      else if (message.data.type === 'here') this.here(message.data.data, message.data.late);
      else this.changed(message.data.data);
    };
    this.hello = () => this.worker.port.postMessage('hello');
    this.bye = () => this.worker.port.postMessage('bye');
    window.addEventListener('pageshow', this.hello);
    window.addEventListener('pagehide', this.bye);
    this.hello();
  }

  renew() {
    this.worker.port.postMessage('renew');
  }

  close() {
    window.removeEventListener('pageshow', this.hello);
    window.removeEventListener('pagehide', this.bye);
    this.bye();
    super.close();
  }
}

// Where pages cannot share, a hidden one gives its connection back.
class OwnStream extends Stream {
  constructor(url) {
    super();
    this.url = url;
    this.source = null;
    this.look = () => (document.hidden ? this.shut() : this.open());
    document.addEventListener('visibilitychange', this.look);
    this.look();
  }

  open() {
    if (this.source) return;
    this.source = new EventSource(this.url);
    this.source.onopen = () => this.opened();
    this.source.onerror = () => {
      const closed = this.source && this.source.readyState === EventSource.CLOSED;
      this.failed();
      if (closed) {
        this.source = null;
        window.setTimeout(this.look, 2000 + Math.random() * 3000);
      }
    };
    this.source.addEventListener('changed', (event) => this.changed(event.data));
    this.source.addEventListener('here', (event) => this.here(event.data, false));
  }

  renew() {
    this.shut();
    this.open();
  }

  shut() {
    if (this.source) this.source.close();
    this.source = null;
  }

  close() {
    document.removeEventListener('visibilitychange', this.look);
    this.shut();
    super.close();
  }
}

export function streamOf(url) {
  return window.SharedWorker ? new SharedStream() : new OwnStream(url);
}
