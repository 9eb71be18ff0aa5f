'use strict';
const $ = (id) => document.getElementById(id);
const DATA = JSON.parse($('data').textContent);
const ALL = '';
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'text') node.textContent = value; else if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
};

// --- light and dark -----------------------------------------------------------------------------
const root = document.documentElement;
const isDark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
$('theme').onclick = () => { root.dataset.theme = isDark() ? 'light' : 'dark'; drawPlots(); };
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawPlots());

// --- plots --------------------------------------------------------------------------------------
const smoothed = (values, weight) => {
  let last = 0, norm = 0;
  return values.map((value) => { last = last * weight + value * (1 - weight); norm = norm * weight + 1 - weight; return last / norm; });
};
// A page on paper is narrower than the window, and nothing is laid out anew for it.
const PAPER = { half: 335, whole: 670 };
function layoutOf(spec, node, printing) {
  const width = printing ? (node.closest('.two') ? PAPER.half : PAPER.whole) : node.clientWidth;
  const named = spec.data.filter((trace) => trace.showlegend !== false).length;
  const legend = named > 1 || spec.layout.showlegend ? Math.ceil(named / Math.max(1, Math.floor(width / 140))) : 0;
  const ink = printing ? '#111' : css('--ink'), line = printing ? '#ccc' : css('--line');
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, exponentformat: 'power' };
  return { ...spec.layout, height: (spec.layout.height || 310) + 18 * legend, ...(printing ? { width } : { autosize: true }), paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: { color: ink, size: 12, family: 'system-ui, sans-serif' }, margin: { l: 52, r: 14, t: 12, b: 44 }, hovermode: 'closest',
    hoverlabel: { font: { size: 12 } },
    legend: { orientation: 'h', yanchor: 'bottom', y: 1.01, x: 0, font: { size: 11 } },
    xaxis: { ...axis, ...spec.layout.xaxis }, yaxis: { ...axis, ...spec.layout.yaxis } };
}
function drawPlots(printing = false) {
  if (typeof Plotly === 'undefined') return;
  const weight = $('c-smooth') ? Number($('c-smooth').value) : 0;
  for (const node of document.querySelectorAll('.chart')) {
    if (node.closest('figure').hidden) continue;
    const spec = DATA.plots[Number(node.dataset.plot)];
    const data = spec.data.map((trace) => ({ ...trace, y: spec.smooth && weight && trace.y.length > 2 ? smoothed(trace.y, weight) : trace.y }));
    Plotly.react(node, data, layoutOf(spec, node, printing), { responsive: true, displayModeBar: false });
  }
}
const chooseCurves = () => {
  const chosen = $('c-method') ? $('c-method').value : null;
  for (const node of document.querySelectorAll('figure.curve')) node.hidden = chosen !== null && node.dataset.method !== chosen;
};
if ($('c-smooth')) $('c-smooth').oninput = () => drawPlots();
if ($('c-method')) $('c-method').onchange = () => { chooseCurves(); drawPlots(); };
let opened = [];
addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll('#scores details:not([open])')];
  for (const node of opened) node.open = true;
  drawPlots(true);
});
addEventListener('afterprint', () => { for (const node of opened) node.open = false; drawPlots(); });

// --- tables -------------------------------------------------------------------------------------
for (const tab of document.querySelectorAll('.tabs [data-tab]')) {
  tab.onclick = () => {
    for (const other of document.querySelectorAll('.tabs [data-tab]')) other.classList.toggle('on', other === tab);
    for (const body of document.querySelectorAll('.tabbed')) body.hidden = body.dataset.tab !== tab.dataset.tab;
  };
}
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    head.tabIndex = 0;
    head.onclick = () => {
      const down = head.getAttribute('aria-sort') !== 'descending';
      for (const other of heads) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const value = (row) => { const text = row.cells[at].dataset.v; return text === '' ? -Infinity : Number(text); };
      const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)));
      table.tBodies[0].append(...rows);
    };
    head.onkeydown = (event) => { if (event.key === 'Enter') head.click(); };
  });
}

// --- cases --------------------------------------------------------------------------------------
const LAYERS = [['pred', 'prediction', true], ['seen', 'truth', true], ['error', 'errors', false], ['doubt', 'uncertainty', false], ['apart', 'disagreement', false]];
const on = Object.fromEntries(LAYERS.map(([key, , first]) => [key, first]));
const mean = (values) => { const kept = values.filter((v) => v !== null && v !== undefined); return kept.length ? kept.reduce((a, b) => a + b, 0) / kept.length : null; };
const dice = (scores, part) => scores ? (part === ALL ? mean(Object.values(scores).map((s) => s.DSC)) : (scores[part] || {}).DSC ?? null) : null;
const worst = (values) => { const kept = values.filter((v) => v !== null); return kept.length ? Math.min(...kept) : null; };
const ofCase = (one, row, part) => worst(one.slices.map((s) => s.rows[row] ? dice(s.rows[row].scores, part) : null));
const shown = (value, digits = 2) => (value === null || value === undefined ? '-' : value.toFixed(digits));
const tone = (value) => (value === null ? '#59636f' : `hsl(${Math.round(value * 1.25)} 72% ${value > 55 ? 31 : 38}%)`);

function stack(one, slice, row, layers) {
  const box = make('span', { className: 'stack' });
  box.style.setProperty('--aspect', one.aspect);
  box.append(make('img', { src: slice.image, alt: '' }));
  const found = row ? slice.rows[row] || {} : {};
  for (const [key] of LAYERS) {
    const source = key === 'seen' ? slice.seen : found[key];
    if (layers[key] && source) box.append(make('img', { src: source, alt: '', className: `over ${key}` }));
  }
  return box;
}
const badge = (value) => { const node = make('span', { className: 'badge', text: shown(value, 1) }); node.style.background = tone(value); return node; };

function gallery() {
  const cases = DATA.cases, rows = DATA.rows;
  const choice = { domain: ALL, part: ALL, row: rows[0], sort: 'worst', name: '', failed: false };
  let limit = 24, list = [];
  const fill = (id, values) => { for (const [value, text] of values) $(id).append(make('option', { value, text })); };
  fill('g-domain', [[ALL, 'all'], ...[...new Set(cases.map((c) => c.domain))].map((d) => [d, d])]);
  fill('g-part', [[ALL, 'mean of all'], ...DATA.parts.map((p) => [p, p])]);
  fill('g-row', rows.map((r) => [r, r]));
  const sorts = [['worst', 'worst first'], ['best', 'best first'], ['doubt', 'most uncertain first'], ['name', 'by name']];
  if (rows.length > 1) sorts.splice(2, 0, ['spread', 'methods differ most'], ['any', 'worst of any method']);
  if (cases.some((c) => Object.values(c.rows).some((r) => r.agreed !== null))) sorts.push(['apart', 'teacher disagrees most']);
  fill('g-sort', sorts);
  const has = (key) => cases.some((c) => c.slices.some((s) => key === 'seen' ? s.seen : Object.values(s.rows).some((r) => r[key])));
  const used = LAYERS.filter(([key]) => has(key));
  const switches = (host, change) => {
    host.replaceChildren(...used.map(([key, text]) => {
      const box = make('input', { type: 'checkbox', checked: on[key] });
      box.dataset.layer = key;
      box.onchange = () => { on[key] = box.checked; change(); };
      return make('label', {}, box, text);
    }));
  };
  const legend = (...pairs) => { for (const [colour, text] of pairs) { const mark = make('i'); mark.style.background = colour; $('g-legend').append(mark, text); } };
  legend(...DATA.classes.map(([name, colour]) => [colour, name]));
  if (has('seen')) legend(['#fff', 'truth']);
  if (has('error')) legend(['rgb(213,0,110)', 'missed'], ['rgb(255,200,0)', 'too much'], ...(DATA.classes.length > 1 ? [['rgb(0,170,235)', 'wrong class']] : []));
  if (has('doubt')) legend(['rgb(255,120,0)', 'uncertain']);
  if (has('apart')) legend(['rgb(150,80,255)', 'student and teacher differ']);

  const value = (one) => ofCase(one, choice.row, choice.part);
  const spread = (one) => { const v = rows.map((r) => ofCase(one, r, choice.part)).filter((x) => x !== null); return v.length > 1 ? Math.max(...v) - Math.min(...v) : -1; };
  const inner = (one, key) => (one.rows[choice.row] || {})[key] ?? null;
  const last = (x) => (x === null ? Infinity : x);
  const keys = { worst: (c) => last(value(c)), best: (c) => (value(c) === null ? Infinity : -value(c)), doubt: (c) => -(inner(c, 'doubt') ?? -1), spread: (c) => -spread(c),
    any: (c) => last(worst(rows.map((r) => ofCase(c, r, choice.part)))), apart: (c) => last(inner(c, 'agreed')) };
  function select() {
    list = cases.filter((c) => (choice.domain === ALL || c.domain === choice.domain) && c.rows[choice.row]
      && (!choice.name || `${c.domain} ${c.name}`.toLowerCase().includes(choice.name.toLowerCase()))
      && (!choice.failed || (value(c) !== null && value(c) < 50)));
    if (choice.sort === 'name') list.sort((a, b) => `${a.domain} ${a.name}`.localeCompare(`${b.domain} ${b.name}`, undefined, { numeric: true }));
    else { const key = keys[choice.sort]; list = list.map((c) => [key(c), c]).sort((a, b) => (a[0] === b[0] ? 0 : a[0] < b[0] ? -1 : 1)).map((pair) => pair[1]); }
  }
  const lowest = (one) => {
    let at = one.worst || 0, low = Infinity;
    one.slices.forEach((s, i) => { const v = s.rows[choice.row] ? dice(s.rows[choice.row].scores, choice.part) : null; if (v !== null && v < low) { low = v; at = i; } });
    return low === Infinity || new Set(one.slices.map((s) => s.rows[choice.row] && dice(s.rows[choice.row].scores, choice.part))).size < 2 ? one.worst || 0 : at;
  };
  function card(one) {
    const frame = make('span', { className: 'frame' });
    const name = make('b', {}), line = make('small', {});
    const node = make('div', { className: 'cell', tabIndex: 0, role: 'button' }, frame, make('span', { className: 'foot' }, name, line));
    let at = lowest(one);
    const draw = () => {
      const slice = one.slices[at], found = slice.rows[choice.row];
      const picture = stack(one, slice, choice.row, on);
      picture.append(badge(found ? dice(found.scores, choice.part) : null));
      if (one.slices.length > 1) picture.append(make('span', { className: 'count', text: `${at + 1} / ${one.slices.length}` }));
      frame.replaceChildren(picture);
      const more = [one.domain];
      if (found && !found.scores && inner(one, 'agreed') !== null) more.push(`agreement ${shown(inner(one, 'agreed'), 1)}\u00a0%`);
      if (inner(one, 'doubt') !== null) more.push(`uncertainty ${shown(100 * inner(one, 'doubt'), 1)}\u00a0%`);
      name.textContent = slice.name; line.textContent = more.join(' · ');
      node.setAttribute('aria-label', `${one.domain} ${slice.name}`);
    };
    if (one.slices.length > 1) {
      const slider = make('input', { type: 'range', min: 0, max: one.slices.length - 1, value: at });
      slider.setAttribute('aria-label', 'slice');
      slider.oninput = () => { at = Number(slider.value); draw(); };
      slider.onclick = (event) => event.stopPropagation();
      slider.onkeydown = (event) => event.stopPropagation();
      node.insertBefore(slider, node.lastChild);
    }
    node.onclick = () => open(list.indexOf(one), at);
    node.onkeydown = (event) => { if (event.key === 'Enter') node.click(); };
    draw();
    return node;
  }
  function show() {
    select();
    $('g-grid').replaceChildren(...list.slice(0, limit).map(card));
    $('g-more').hidden = list.length <= limit;
    $('g-count').textContent = `${Math.min(limit, list.length)} of ${list.length} cases${DATA.left_out ? `; ${DATA.left_out} more have no pictures` : ''}`;
  }

  // One case, all methods side by side.
  let current = 0, slice = 0;
  const panel = (title, picture) => make('figure', {}, picture, make('figcaption', {}, ...title));
  function panels() {
    const one = list[current], here = one.slices[slice];
    $('d-name').textContent = `${here.name} (${slice + 1} of ${one.slices.length}${one.all_slices > one.slices.length ? `, chosen from ${one.all_slices}` : ''})`;
    const nodes = [panel(['image'], stack(one, here, null, {}))];
    if (here.seen) nodes.push(panel(['truth'], stack(one, here, null, { seen: true })));
    for (const row of rows) {
      if (!here.rows[row]) continue;
      const picture = stack(one, here, row, on);
      picture.append(badge(dice(here.rows[row].scores, choice.part)));
      nodes.push(panel([make('b', { text: row })], picture));
    }
    $('d-panels').replaceChildren(...nodes);
    const metrics = ['DSC', 'Jaccard', 'HD95', 'ASD'];
    const body = rows.flatMap((row) => Object.entries((here.rows[row] || {}).scores || {}).map(([part, values]) => [row, part, ...metrics.map((m) => values[m] ?? null)]));
    const table = make('table', {});
    if (body.length) {
      table.append(make('thead', {}, make('tr', {}, ...['method', 'part', ...metrics].map((text, i) => make('th', { text, className: i < 2 ? 'left' : '' })))));
      table.append(make('tbody', {}, ...body.map((line) => make('tr', {}, ...line.map((cell, i) => {
        const node = make('td', { text: i < 2 ? cell : shown(cell), className: i < 2 ? 'left' : '' });
        if (i > 1) node.dataset.v = cell === null ? '' : String(cell);
        return node;
      })))));
    } else table.append(make('caption', { text: 'no masks, so no scores' }));
    $('d-scores').replaceChildren(table);
  }
  function open(at, first) {
    current = at; slice = first;
    const one = list[current];
    $('d-title').textContent = `${one.domain}, ${one.name}`;
    $('d-slice').max = one.slices.length - 1; $('d-slice').value = slice;
    $('d-slider').hidden = one.slices.length < 2;
    switches($('d-layers'), panels);
    panels();
    if (!$('case').open) $('case').showModal();
  }
  const step = (by) => { const at = current + by; if (at >= 0 && at < list.length) open(at, lowest(list[at])); };
  $('d-slice').oninput = () => { slice = Number($('d-slice').value); panels(); };
  $('d-prev').onclick = () => step(-1); $('d-next').onclick = () => step(1);
  $('d-close').onclick = () => $('case').close();
  $('case').onclick = (event) => { if (event.target === $('case')) $('case').close(); };
  $('case').onkeydown = (event) => { if (event.target.type !== 'range') { if (event.key === 'ArrowLeft') step(-1); if (event.key === 'ArrowRight') step(1); } };
  $('case').onclose = () => { switches($('g-layers'), show); show(); };

  for (const key of ['domain', 'part', 'row', 'sort']) $(`g-${key}`).onchange = () => { choice[key] = $(`g-${key}`).value; limit = 24; show(); };
  $('g-name').oninput = () => { choice.name = $('g-name').value; limit = 24; show(); };
  $('g-failed').onchange = () => { choice.failed = $('g-failed').checked; limit = 24; show(); };
  $('g-more').onclick = () => { limit += 48; show(); };
  switches($('g-layers'), show);
  show();
}
if ($('g-grid')) gallery();
// --- a page that is written anew ----------------------------------------------------------------
// What was chosen is kept over the reloads, which wait while a case is looked at.
const KEPT = ['g-domain', 'g-part', 'g-row', 'g-sort', 'g-name', 'c-method', 'c-smooth'];
const place = `mmssl ${location.pathname}`;
if (DATA.refresh) {
  let before = {};
  try { before = JSON.parse(sessionStorage.getItem(place)) || {}; } catch { /* not kept: as it comes */ }
  for (const id of KEPT) {
    const node = $(id);
    if (!node || !(id in before) || node.value === before[id]) continue;
    node.value = before[id];
    if (node.selectedIndex === -1) node.selectedIndex = 0;
    else (node.onchange || node.oninput)();
  }
  if (before.theme) root.dataset.theme = before.theme;
}
chooseCurves();
drawPlots();
root.dataset.ready = 'yes';
if (DATA.refresh) {
  setInterval(() => {
    if ($('case').open) return;
    const now = Object.fromEntries(KEPT.filter($).map((id) => [id, $(id).value]));
    try { sessionStorage.setItem(place, JSON.stringify({ ...now, theme: root.dataset.theme })); } catch { /* as above */ }
    location.reload();
  }, 1000 * DATA.refresh);
}
