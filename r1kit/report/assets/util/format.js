// Write numbers as text.

function formatNumber(value, digits = 3) {
  if (value == null) return "-";
  const size = Math.abs(value);
  if (size >= 1e5 || (value && size < 1e-3)) return value.toExponential(2);
  return String(+value.toFixed(digits));
}

/** Return a fraction in percent, without the sign: 0.5 as 50.0. */
function percent(fraction) {
  return fraction == null ? "-" : (100 * fraction).toFixed(1);
}

function formatDuration(seconds) {
  if (seconds == null) return "-";
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Return a count with commas between its thousands. */
function formatCount(count) {
  return count == null ? "-" : count.toLocaleString("en");
}

/** Return 985344 as 985K, 1500000 as 1.5M. */
function formatLargeCount(count) {
  for (const [size, letter] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "K"],
  ]) {
    if (count >= 0.9995 * size) return `${+(count / size).toPrecision(3)}${letter}`;
  }
  return String(count);
}
