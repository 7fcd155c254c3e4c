/**
 * Byte sizes and durations as people write and read them. Suffixes are powers of 1024 (K, M, G, T),
 * as casync, systemd and mkosi use them.
 * @module
 */
import { ConfigError } from "./errors.ts";

const powers: Readonly<Record<string, number>> = { "": 0, K: 1, M: 2, G: 3, T: 4, P: 5 };

/**
 * Parses `512`, `64K`, `1.5G`, `10MiB` to bytes.
 * @throws ConfigError when the text is no size or not a whole number of bytes
 */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?\s*$/i.exec(text);
  const power = match === null ? undefined : powers[(match[2] ?? "").toUpperCase()];
  if (match === null || power === undefined) {
    throw new ConfigError(`not a size: "${text}"`, {
      code: "size-invalid",
      hint: "write a number of bytes, with K, M, G or T for powers of 1024: 64K",
    });
  }
  const bytes = Math.round(Number(match[1]) * 1024 ** power);
  if (!Number.isSafeInteger(bytes)) throw new ConfigError(`size too large: "${text}"`, { code: "size-invalid" });
  return bytes;
}

/** Bytes for people: `0 B`, `1.5 KiB`, `64 MiB`; at most three significant digits. */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  const text = value.toFixed(digits);
  return `${text.includes(".") ? text.replace(/\.?0+$/, "") : text} ${units[unit]}`;
}

/** Milliseconds for people: `0.24 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${two(Math.round(seconds) % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
