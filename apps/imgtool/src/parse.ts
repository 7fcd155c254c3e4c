/**
 * Parsers of option values; commander prints their message beside the option's name.
 * @module
 */
import { errorMessage } from "@imgtool/core";
import { InvalidArgumentError } from "commander";

export function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new InvalidArgumentError("a port is a number from 0 to 65535.");
  return port;
}

export function positiveNumber(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1) throw new InvalidArgumentError("expected a whole number of at least 1.");
  return number;
}

const timeUnits: Readonly<Record<string, number>> = { "": 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time in milliseconds from `90` (seconds), `90m`, `12h`, `7d`. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError("expected a number with s, m, h or d: 12h.");
  return Number(match[1]) * (timeUnits[match[2] ?? ""] ?? 1000);
}

/** casync's booleans: an option alone means yes. */
export function yesNo(text: string): boolean {
  if (["yes", "y", "true", "t", "on", "1"].includes(text.toLowerCase())) return true;
  if (["no", "n", "false", "f", "off", "0"].includes(text.toLowerCase())) return false;
  throw new InvalidArgumentError("expected yes or no.");
}

/** Runs a parser that throws ImgtoolErrors as an option's parser. */
export function wrapped<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(errorMessage(error));
  }
}
