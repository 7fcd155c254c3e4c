/**
 * What a person gave may hold a password, as in https://user:password@host, or a signed query. Messages are made
 * with shownLocation(); this is the net below them: what was given never comes back whole in an error.
 * @module
 */
import { ImgtoolError } from "@imgtool/core";
import { isRemoteLocation, shownLocation } from "@imgtool/store";
import type { Command } from "commander";

/** Replaces each location that the command was given by its form for messages, in an error and its causes. */
export function hideSecrets(error: unknown, command: Command): void {
  const values: unknown[] = [command.args, Object.values(command.opts<Record<string, unknown>>())];
  const given = values
    .flat(3)
    .filter((value) => typeof value === "string")
    .filter((value) => isRemoteLocation(value) && shownLocation(value) !== value)
    // One may begin with another.
    .sort((a, b) => b.length - a.length);
  if (given.length === 0) return;
  const hide = (text: string): string =>
    given.reduce((hidden, secret) => hidden.replaceAll(secret, () => shownLocation(secret)), text);
  for (let one = error, depth = 0; one instanceof Error && depth < 10; one = one.cause, depth++) {
    one.message = hide(one.message);
    if (one.stack !== undefined) one.stack = hide(one.stack);
    if (one instanceof ImgtoolError) {
      const { hint, data } = one;
      Object.assign(one, { hint: hint === undefined ? hint : hide(hint), data: hidden(data, hide) });
    }
  }
}

function hidden(value: unknown, hide: (text: string) => string): unknown {
  if (typeof value === "string") return hide(value);
  if (Array.isArray(value)) return value.map((one) => hidden(one, hide));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, hidden(one, hide)]));
}
