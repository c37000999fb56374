// Times, sizes and browsers in words.

/** 45 → "45 s", 125 → "2 min 5 s", 7500 → "2 h 5 min". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** 45 → "less than a minute", 125 → "2 minutes", 7500 → "2 hours". */
export function roughly(seconds) {
  const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  if (seconds < 60) return "less than a minute";
  if (seconds < 5400) return plural(Math.round(seconds / 60), "minute");
  return plural(Math.round(seconds / 3600), "hour");
}

/** Epoch seconds → "just now", "5 minutes ago", "yesterday". */
export function ago(epochSeconds) {
  const seconds = Date.now() / 1000 - epochSeconds;
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (seconds < 45) return "just now";
  if (seconds < 3600) return words.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86400) return words.format(-Math.round(seconds / 3600), "hour");
  return words.format(-Math.round(seconds / 86400), "day");
}

/** Epoch seconds → an exact local time, for tooltips. */
export function exactly(epochSeconds) {
  return new Date(epochSeconds * 1000).toLocaleString();
}

/** 1536 → "1.5 KB". */
export function size(octets) {
  if (octets < 1024) return `${octets} B`;
  if (octets < 1048576) return `${(octets / 1024).toFixed(1)} KB`;
  return `${(octets / 1048576).toFixed(1)} MB`;
}

const BROWSERS = [
  ["Edge", /\bEdgA?\//], ["Opera", /\bOPR\//], ["Firefox", /\bFirefox\//],
  ["Chrome", /\b(?:Headless)?Chrom(?:e|ium)\//], ["Safari", /\bSafari\//], ["curl", /^curl\//],
];
const SYSTEMS = [
  ["Android", /Android/], ["iPhone", /iPhone/], ["iPad", /iPad/], ["Windows", /Windows/],
  ["macOS", /Mac OS X/], ["ChromeOS", /CrOS/], ["Linux", /Linux/],
];

/** A User-Agent field → "Firefox on Linux". */
export function browser(userAgent) {
  const find = (list) => list.find(([, pattern]) => pattern.test(userAgent ?? ""))?.[0];
  const [name, system] = [find(BROWSERS), find(SYSTEMS)];
  if (!name && !system) return "Unknown browser";
  return system ? `${name ?? "A browser"} on ${system}` : name;
}
