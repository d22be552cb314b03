// Convenience alone: the page says everything without it.
for (const chart of document.querySelectorAll('.chart[data-rows]')) {
  const rows = JSON.parse(chart.dataset.rows), svg = chart.querySelector('svg'), cursor = svg.querySelector('.cursor');
  const values = chart.querySelectorAll('.keys span > span'), plain = [...values].map(v => v.textContent);
  const [left, right] = chart.dataset.span.split(' ').map(Number), first = rows[0][0], last = rows[rows.length - 1][0];
  const show = v => v === null ? '–' : chart.dataset.percent ? (100 * v).toFixed(1) + ' %' : String(+v.toPrecision(3));
  svg.addEventListener('pointermove', e => {
    const box = svg.getBoundingClientRect(), at = (e.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const step = first + (at - left) / (right - left) * (last - first);
    const row = rows.reduce((a, b) => Math.abs(b[0] - step) < Math.abs(a[0] - step) ? b : a);
    const x = last > first ? left + (row[0] - first) / (last - first) * (right - left) : (left + right) / 2;
    cursor.setAttribute('x1', x); cursor.setAttribute('x2', x); cursor.style.visibility = 'visible';
    values.forEach((v, i) => { v.textContent = ' ' + show(row[i + 1]); });
    chart.querySelector('.when').textContent = 'step ' + Math.round(row[0]);
  });
  svg.addEventListener('pointerleave', () => {
    cursor.style.visibility = 'hidden';
    values.forEach((v, i) => { v.textContent = plain[i]; });
    chart.querySelector('.when').textContent = '';
  });
}
const steps = [...document.querySelectorAll('.step')], stepper = document.querySelector('.stepper');
if (stepper && steps.length > 1) {
  const slider = stepper.querySelector('input'), label = stepper.querySelector('output');
  const turn = () => steps.forEach((s, i) => { s.hidden = i !== +slider.value; if (!s.hidden) label.textContent = s.querySelector('h3').textContent; });
  stepper.hidden = false;
  stepper.parentElement.classList.add('stepping');
  slider.max = steps.length - 1;
  slider.value = steps.length - 1;
  slider.addEventListener('input', turn);
  turn();
}
