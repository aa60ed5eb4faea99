// Numbers and times as people read them. Pure functions; null (not known) is a dash.

export const UNKNOWN = "–";
const SPACE = "\u202f"; // narrow, and a line never breaks there

export function percent(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  return `${value < 9.95 && value > 0 ? value.toFixed(1) : Math.round(value)}${SPACE}%`;
}

function scaled(value, step, units) {
  let index = 0;
  while (value >= step * 0.9995 && index < units.length - 1) {
    value /= step;
    index += 1;
  }
  const digits = index === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${Number.isInteger(value) ? value : value.toFixed(digits)}${SPACE}${units[index]}`;
}

/** Bytes a second, as bits a second: the unit of network cards. */
export function bitRate(bytes) {
  return bytes === null || bytes === undefined ? UNKNOWN : scaled(bytes * 8, 1000, ["b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s"]);
}

export function size(bytes) {
  return bytes === null || bytes === undefined ? UNKNOWN : scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
}

export function rate(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  return value >= 99.95 ? Math.round(value).toLocaleString("en") : value.toFixed(value > 0 ? 1 : 0);
}

export function milliseconds(value) {
  if (value === null || value === undefined) {
    return UNKNOWN;
  }
  return value >= 1000 ? `${(value / 1000).toFixed(2)}${SPACE}s` : `${value.toFixed(value < 9.95 ? 1 : 0)}${SPACE}ms`;
}

/** Seconds, as "12 s", "3 min", "5 h", "2 d". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) {
    return UNKNOWN;
  }
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) {
    return `${whole}${SPACE}s`;
  }
  if (whole < 7200) {
    return `${Math.floor(whole / 60)}${SPACE}min`;
  }
  return whole < 172800 ? `${Math.floor(whole / 3600)}${SPACE}h` : `${Math.floor(whole / 86400)}${SPACE}d`;
}

export function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString("en-GB");
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
