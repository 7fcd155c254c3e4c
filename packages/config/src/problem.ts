/**
 * What is wrong with a configuration, with the place where it is written. Problems are collected, not
 * thrown, so that one run shows all of them.
 * @module
 */
import { distance } from "fastest-levenshtein";

/** Where a value is written. Neither file nor option: it is a default. */
export interface Origin {
  readonly file?: string;
  /** Counted from 1. */
  readonly line?: number;
  /** The command-line option as it was typed: `--package`. */
  readonly option?: string;
}

export interface Problem extends Origin {
  /** Stable identifier, kebab-case. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** The configuration is known all the same: a build ends here. */
  readonly onlyForBuilds?: true;
}

/** Collects the problems of one run. The same problem at the same place is kept once. */
export class ProblemList {
  readonly warnings: Problem[] = [];
  readonly errors: Problem[] = [];
  readonly #seen: Set<string> = new Set();

  warn(problem: Problem): void {
    this.#add(this.warnings, problem);
  }

  error(problem: Problem): void {
    this.#add(this.errors, problem);
  }

  #add(list: Problem[], problem: Problem): void {
    const key = JSON.stringify([problem.code, problem.file, problem.line, problem.option, problem.message]);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    list.push(problem);
  }
}

/** `mkosi.conf:12`, `--package`, or "" for a default. Paths below `directory` are shown relative to it. */
export function formatOrigin(origin: Origin, directory?: string): string {
  if (origin.option !== undefined) return origin.option;
  if (origin.file === undefined) return "";
  const prefix = directory === undefined ? "" : directory.endsWith("/") ? directory : `${directory}/`;
  const file = prefix !== "" && origin.file.startsWith(prefix) ? origin.file.slice(prefix.length) : origin.file;
  return origin.line === undefined ? file : `${file}:${origin.line}`;
}

/** One line for people: `mkosi.conf:12: unknown setting Pakages=`. The hint is not part of it. */
export function formatProblem(problem: Problem, directory?: string): string {
  const place = formatOrigin(problem, directory);
  return place === "" ? problem.message : `${place}: ${problem.message}`;
}

/** The candidate that is most likely meant, or undefined when none is close. Case does not count. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.slice(0, 100).toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(Math.min(wanted.length, 12) / 3)) + 1;
  for (const candidate of candidates) {
    const difference = isSwap(wanted, candidate.toLowerCase()) ? 1 : distance(wanted, candidate.toLowerCase());
    if (difference < least) {
      least = difference;
      best = candidate;
    }
  }
  return best;
}

/** Whether two neighbouring letters changed places: one slip of the fingers, though two edits. */
function isSwap(a: string, b: string): boolean {
  if (a.length !== b.length || a === b) return false;
  let first = 0;
  while (a[first] === b[first]) first++;
  return a[first] === b[first + 1] && a[first + 1] === b[first] && a.slice(first + 2) === b.slice(first + 2);
}
