// Prices and results over time. A line stands only where there is a price: nothing joins two hours across a third.

import { serverNow } from './clock.js';

const HEIGHT = 168;
const plots = new Map();
const drawn = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function fixed(value, unit) {
  return value === null || value === undefined ? '' : `${value.toFixed(2)} ${unit}`;
}

const berlin = (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), 'Europe/Berlin');
const two = (number) => String(number).padStart(2, '0');
const clock = (seconds) => `${two(berlin(seconds).getHours())}:${two(berlin(seconds).getMinutes())}`;
const date = (seconds) => new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', weekday: 'short', day: 'numeric', month: 'short' }).format(new Date(seconds * 1000));

// Lines at zero and where a day begins, with its date.
function marks(chart, days) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.lineWidth = 1;
  ctx.setLineDash([]);
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.strokeStyle = colour('--quiet');
  ctx.fillStyle = colour('--quiet');
  const { min, max } = chart.scales.y;
  if (min < 0 && max > 0) line(ctx, bbox.left, Math.round(chart.valToPos(0, 'y', true)) + 0.5, bbox.width, 0);
  ctx.font = `${Math.round(11 * window.devicePixelRatio)}px system-ui, sans-serif`;
  for (const day of days) {
    const x = Math.round(chart.valToPos(day, 'x', true)) + 0.5;
    if (x > bbox.left + bbox.width) continue;
    if (x > bbox.left) line(ctx, x, bbox.top, 0, bbox.height);
    ctx.fillText(date(day), Math.max(x, bbox.left) + 4, bbox.top - 5 * window.devicePixelRatio);
  }
  ctx.restore();
}

function line(ctx, x, y, width, height) {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x + width, y + height);
  ctx.stroke();
}

function options(box, unit, days, series, stamp) {
  const stroke = colour('--quiet');
  const grid = { stroke: colour('--line'), width: 1 };
  // A filled area stands for an amount, so it has to be seen from zero.
  const filled = series.some((one) => one.fill);
  return {
    width: box.clientWidth,
    height: HEIGHT,
    tzDate: berlin,
    cursor: { y: false },
    scales: { x: { time: true }, y: { range: (_, low, high) => padded(...(filled ? [Math.min(0, low), Math.max(0, high)] : [low, high])) } },
    axes: [
      { stroke, grid, ticks: grid, size: 26, space: 44, values: (_, splits) => splits.map(clock) },
      { stroke, grid, ticks: grid, size: wideEnough, label: unit, labelSize: 16, labelFont: '11px system-ui', space: 28 },
    ],
    series: [{ label: 'time', value: (_, at) => (at === null || at === undefined ? '' : stamp(at)) }, ...series],
    hooks: { draw: [(chart) => marks(chart, days)] },
  };
}

function wideEnough(_, texts) {
  return 16 + 7 * Math.max(4, ...(texts ?? []).map((text) => String(text ?? '').length));
}

// A little room above and below; one value alone gets a scale around it.
function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.12, 0.5);
  return [low - room, high + room];
}

// A step from each point to the next, joined to its neighbours where they follow at once; a fill goes down to zero.
function steps(chart, series, from, to) {
  const [at, values] = [chart.data[0], chart.data[series]];
  const x = (index) => chart.valToPos(at[index], 'x', true);
  const y = (value) => chart.valToPos(value, 'y', true);
  const [stroke, fill] = [new Path2D(), new Path2D()];
  const zero = y(Math.min(Math.max(0, chart.scales.y.min), chart.scales.y.max));
  for (let index = from; index < Math.min(to + 1, at.length - 1); index++) {
    const value = values[index];
    if (value === null) continue;
    if (index > from && values[index - 1] !== null) stroke.lineTo(x(index), y(value));
    else stroke.moveTo(x(index), y(value));
    stroke.lineTo(x(index + 1), y(value));
    fill.rect(x(index), Math.min(zero, y(value)), x(index + 1) - x(index), Math.abs(y(value) - zero));
  }
  return { stroke, fill, clip: null, band: null, gaps: null, flags: 1 };
}

function stepped(label, name, unit, more = {}) {
  return { label, stroke: colour(name), width: 2, paths: steps, points: { show: false }, value: (_, value) => fixed(value, unit), ...more };
}

function put(box, made, data) {
  plots.get(box.id)?.destroy();
  plots.delete(box.id);
  box.textContent = '';
  if (made === null) {
    box.textContent = data;
    box.classList.add('nothing');
    return;
  }
  box.classList.remove('nothing');
  plots.set(box.id, new window.uPlot(made, data, box));
  watchSizes.observe(box);
}

// Every period is a step from its start; where the next one does not follow at once the line ends.
function columns(days) {
  const data = [[], [], [], []];
  const add = (at, values) => [at, ...values].forEach((value, index) => data[index].push(value));
  let end = null;
  for (const day of days) {
    if (end !== null && day.rows.length) {
      add(end, [null, null, null]);
      end = null;
    }
    for (const [from, to, , ...texts] of day.rows) {
      if (end !== null && end < from) add(end, [null, null, null]);
      const values = texts.map((text) => (text === null ? null : Number(text)));
      // A day's first value at the moment when the last day's ends would share its place.
      if (data[0].at(-1) === from) data[0][data[0].length - 1] = from - 1;
      add(from, values);
      end = to;
    }
  }
  if (end !== null) add(end, [null, null, null]);
  return data;
}

function midnights(days) {
  return days.filter((day) => day.rows.length).map((day) => {
    const first = berlin(day.rows[0][0]);
    return day.rows[0][0] - first.getHours() * 3600 - first.getMinutes() * 60;
  });
}

function drawDays(series) {
  const [prices, result] = [document.getElementById('chart'), document.getElementById('result-chart')];
  const days = series.days;
  const [at, own, reference, cumulated] = columns(days);
  const starts = midnights(days);
  const stamp = (seconds) => `${date(seconds)} ${clock(seconds)}`;
  const any = (values) => values.some((value) => value !== null);
  const lines = [
    stepped('ours', '--ours', 'EUR/MWh', { width: 3 }),
    stepped('reference', '--reference', 'EUR/MWh', { dash: [5, 3] }),
  ];
  if (any(own) || any(reference)) put(prices, options(prices, 'EUR/MWh', starts, lines, stamp), [at, own, reference]);
  else put(prices, null, 'No deals to draw yet.');
  const sum = [stepped('result', '--result', 'EUR', { fill: colour('--result-ground') })];
  if (any(cumulated)) put(result, options(result, 'EUR', starts, sum, stamp), [at, cumulated]);
  else put(result, null, 'No result yet: it takes a deal and a reference price.');
}

function drawHistory(history) {
  const box = document.getElementById('history');
  const points = history.prices.map(([at, value]) => [at, Number(value), null]);
  for (const [at, value] of history.deals) points.push([at, null, Number(value)]);
  points.sort((one, other) => one[0] - other[0]);
  let price = null;
  // A price holds until the next, also where a deal lies between.
  for (const point of points) price = point[1] = point[1] ?? price;
  const until = Math.min(history.end, serverNow() / 1000);
  if (points.length && until > points.at(-1)[0]) points.push([until, price, null]);
  const deals = { label: 'deals', stroke: colour('--ours'), paths: () => null, points: { show: true, size: 5, fill: colour('--ours') }, value: (_, value) => fixed(value, 'EUR/MWh') };
  const stamp = (seconds) => `${date(seconds)} ${clock(seconds)}`;
  const made = options(box, 'EUR/MWh', [], [stepped('reference', '--reference', 'EUR/MWh'), deals], stamp);
  put(box, made, [0, 1, 2].map((index) => points.map((point) => point[index])));
}

// Answers may overtake each other; the newest question wins.
const questions = new Map();

async function refresh(id, draw) {
  const box = document.getElementById(id);
  if (!box || !window.uPlot) return;
  const turn = (questions.get(id) ?? 0) + 1;
  questions.set(id, turn);
  try {
    const answer = await fetch(box.dataset.url);
    if (!answer.ok) return;
    const text = await answer.text();
    // The same text in the same place is drawn already; a swap brings an empty place.
    if (turn !== questions.get(id) || (text === drawn.get(id) && box.childElementCount)) return;
    drawn.set(id, text);
    draw(JSON.parse(text));
  } catch {
    // The server is away: the live sign says so, the chart stays as it is.
  }
}

export const refreshCharts = () => refresh('chart', drawDays);
export const refreshHistory = () => refresh('history', drawHistory);

// A place may become narrower without the window: a period is opened beside it, or the table needs the room.
const watchSizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = plots.get(target.id);
    if (plot && contentRect.width && plot.width !== contentRect.width) plot.setSize({ width: contentRect.width, height: HEIGHT });
  }
});

// At once, from what is known: paper does not wait for an answer.
export function redrawCharts() {
  for (const [id, draw] of [['chart', drawDays], ['history', drawHistory]]) {
    if (drawn.has(id) && document.getElementById(id)) draw(JSON.parse(drawn.get(id)));
  }
}
