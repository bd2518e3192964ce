// Draws what stands in #plots. The page is one file, so this one asks nobody for anything.
'use strict';

const plots = JSON.parse(document.getElementById('plots').textContent);
const COLOURS = ['#1f6fb4', '#c2571a'];
const HEIGHT = 220;

// A scale of powers of ten shows the tail beside the median; it takes values above zero only.
const LOGARITHMIC = 3;

function draw(box, x, series, xLabel, yLabel, time, y = {}) {
  const width = Math.max(320, box.clientWidth);
  new window.uPlot(
    {
      width,
      height: HEIGHT,
      scales: { x: { time }, y },
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
      axes: [{ label: xLabel, size: 44 }, { label: yLabel, size: 70 }],
      series: [{ label: xLabel }, ...series.map(([label, stroke]) => ({ label, stroke, width: 1.5, spanGaps: false }))],
    },
    [x, ...series.map(([, , values]) => values)],
    box,
  );
}

function section(parent, title) {
  const heading = document.createElement('h3');
  heading.textContent = title;
  const box = document.createElement('div');
  box.className = 'plot';
  parent.append(heading, box);
  return box;
}

if (plots.shares.length) {
  const lines = plots.models.map((model, number) => [model, COLOURS[number], plots.latencies[number]]);
  const positive = plots.latencies.every(([lowest]) => lowest > 0);
  draw(document.getElementById('latencies'), plots.shares, lines, 'share of the ticks, %', 'latency, ms', false, positive ? { distr: LOGARITHMIC } : {});
}
const tickers = document.getElementById('tickers');
for (const { ticker, ages, differences } of plots.tickers) {
  const lines = plots.models.map((model, number) => [model, COLOURS[number], ages[number]]);
  draw(section(tickers, `${ticker}: age of the latest mid`), plots.times, lines, 'arrival, UTC', 'ms', true);
  draw(section(tickers, `${ticker}: difference of the mids`), plots.times, [['difference', '#5a3f93', differences]], 'arrival, UTC', 'basis points', true);
}
