// What the server-rendered page cannot do by itself: count seconds, draw the chart, share one event stream between pages.
'use strict';

(() => {
  const live = document.getElementById('live');
  const board = document.getElementById('board');

  // ---- the event stream -------------------------------------------------------------------------------------------------

  function showLive(on, text = on ? 'live' : 'reconnecting') {
    live.textContent = text;
    live.classList.toggle('on', on);
    live.classList.toggle('off', !on);
  }

  // Ages are counted by the server's clock: this one may be minutes off.
  let ahead = 0;

  function serverNow() {
    return Date.now() + ahead;
  }

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
      if (this.readyState === 1) showLive(true);
    }

    here(data, late) {
      const [now, heartbeat] = data.split(' ').map(Number);
      // One that a worker kept for us says nothing about now.
      if (!late) ahead = now - Date.now();
      this.silenceMax = 3 * heartbeat;
      this.heard();
    }

    // A server that hangs, or a dead path to it, closes nothing: only its silence shows.
    lookForSilence() {
      const silent = performance.now() - this.heardAt;
      if (this.readyState !== 1 || document.hidden || silent < this.silenceMax) return;
      showLive(false, `no word for ${span(silent)}`);
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
      showLive(false);
      if (this.onerror) this.onerror(new Event('error'));
    }

    changed(data) {
      this.heard();
      this.dispatchEvent(new MessageEvent('changed', { data }));
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
      window.clearInterval(this.watch);
      window.removeEventListener('pageshow', this.hello);
      window.removeEventListener('pagehide', this.bye);
      this.bye();
      this.readyState = 2;
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
      window.clearInterval(this.watch);
      document.removeEventListener('visibilitychange', this.look);
      this.shut();
      this.readyState = 2;
    }
  }

  if (window.htmx && board) {
    window.htmx.createEventSource = (url) => (window.SharedWorker ? new SharedStream() : new OwnStream(url));
  }

  // ---- seconds ----------------------------------------------------------------------------------------------------------

  function span(milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  }

  function count() {
    const now = serverNow();
    for (const element of document.querySelectorAll('time[data-ms]')) {
      element.dataset.text ??= element.textContent;
      const since = now - Number(element.dataset.ms);
      let text = `${span(since)} ago`;
      if (element.classList.contains('due')) text = since < 0 ? `in ${span(-since)}` : 'now';
      const whole = element.classList.contains('brief') ? text : `${element.dataset.text}, ${text}`;
      if (element.textContent !== whole) element.textContent = whole;
    }
  }

  // ---- the chart --------------------------------------------------------------------------------------------------------

  const box = document.getElementById('chart');
  let plot = null;
  let drawn = '';

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function numbers(texts) {
    return texts.map((text) => (text === null ? null : Number(text)));
  }

  function draw(series) {
    if (plot) plot.destroy();
    plot = null;
    box.textContent = '';
    if (!series.labels.length) {
      box.textContent = 'No deals to draw yet.';
      return;
    }
    const ink = colour('--quiet');
    const grid = { stroke: colour('--line'), width: 1 };
    const starts = [];
    let at = 0;
    for (const day of series.days) {
      starts.push(at);
      at += day.hours;
    }
    const options = {
      width: box.clientWidth,
      height: 260,
      scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] } },
      axes: [
        {
          stroke: ink,
          grid,
          ticks: grid,
          splits: () => series.labels.map((_, index) => index).filter((index) => index % Math.ceil(series.labels.length / 8) === 0),
          values: (_, splits) => splits.map((index) => (series.labels[index] || '').slice(0, 2)),
        },
        { stroke: ink, grid, ticks: grid, size: 56 },
      ],
      series: [
        { label: 'period', value: (_, index) => (index === null ? '' : series.labels[index]) },
        {
          label: 'ours',
          stroke: colour('--ours'),
          width: 2,
          points: { show: true, size: 7, fill: colour('--ours') },
          value: (_, value) => (value === null ? '\u2013' : value.toFixed(2)),
        },
        {
          label: 'reference',
          stroke: colour('--reference'),
          width: 2,
          dash: [6, 4],
          points: { show: true, size: 4, fill: colour('--reference') },
          value: (_, value) => (value === null ? '\u2013' : value.toFixed(2)),
        },
      ],
      legend: { live: true },
      hooks: {
        draw: [
          (chart) => {
            // A line where the next day begins.
            chart.ctx.save();
            chart.ctx.strokeStyle = ink;
            for (const start of starts.slice(1)) {
              const x = Math.round(chart.valToPos(start - 0.5, 'x', true)) + 0.5;
              chart.ctx.beginPath();
              chart.ctx.moveTo(x, chart.bbox.top);
              chart.ctx.lineTo(x, chart.bbox.top + chart.bbox.height);
              chart.ctx.stroke();
            }
            chart.ctx.restore();
          },
        ],
      },
    };
    const xs = series.labels.map((_, index) => index);
    plot = new window.uPlot(options, [xs, numbers(series.own), numbers(series.reference)], box);
  }

  let asked = 0;

  async function refreshChart() {
    if (!box || !window.uPlot) return;
    const turn = ++asked;
    try {
      const answer = await fetch(box.dataset.url);
      if (!answer.ok) return;
      const text = await answer.text();
      // Answers may overtake each other; the newest question wins.
      if (turn !== asked || text === drawn) return;
      drawn = text;
      draw(JSON.parse(text));
    } catch {
      // The server is away: the live sign says so, the chart stays as it is.
    }
  }

  // ---- after each change ------------------------------------------------------------------------------------------------

  let before = new Map();

  function rows() {
    return document.querySelectorAll('#board tr[data-figures]');
  }

  function remember() {
    before = new Map([...rows()].map((row) => [row.id, row.dataset.figures]));
  }

  function markOpen() {
    const open = document.querySelector('#drill [data-open]');
    for (const row of rows()) row.classList.toggle('open', open !== null && row.id === `row-${open.dataset.open}`);
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

  // Answers about a period that is not open any more come too late.
  let opened = '';

  document.addEventListener('htmx:beforeRequest', (event) => {
    if (event.detail.elt.matches('a.period')) opened = event.detail.pathInfo.requestPath;
  });

  document.addEventListener('htmx:beforeSwap', (event) => {
    if (event.detail.target.id === 'drill' && opened && event.detail.pathInfo.requestPath !== opened) {
      event.detail.shouldSwap = false;
    } else if (pressed) {
      event.detail.shouldSwap = false;
      postponed = true;
    } else if (event.detail.target === board) {
      remember();
    }
  });

  document.addEventListener('htmx:afterSwap', (event) => {
    count();
    markOpen();
    if (event.detail.target === board) {
      for (const row of rows()) row.classList.toggle('changed', before.has(row.id) ? before.get(row.id) !== row.dataset.figures : true);
      refreshChart();
    } else if (event.detail.target.id === 'drill' && event.detail.requestConfig?.triggeringEvent?.type === 'click') {
      event.detail.target.scrollIntoView({ block: 'nearest' });
    }
  });

  window.addEventListener('resize', () => {
    if (plot) plot.setSize({ width: box.clientWidth, height: 260 });
  });
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    drawn = '';
    refreshChart();
  });

  if (board) {
    count();
    markOpen();
    window.setInterval(count, 1000);
    refreshChart();
  }
})();
