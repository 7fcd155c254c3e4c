/**
 * How the command line speaks: one Reporter per run, chosen by where standard error goes and by
 * `--json`. Data goes to standard output, everything else to standard error.
 * @module
 */
import type { ImgtoolError, Progress } from "@imgtool/core";
import { jsonReporter } from "./json.ts";
import { lineReporter } from "./lines.ts";

export interface Reporter extends Progress {
  /** Shows the error that ends the run; the last thing that is reported. */
  error(error: ImgtoolError, exitCode: number): void;
  /** A verb's result: text for people on standard output, or the same as data under `--json`. */
  result(data: Readonly<Record<string, unknown>>, text: string): void;
  /** One of many findings: a line for people on standard output, or an event under `--json`. */
  event(data: Readonly<Record<string, unknown>> & { readonly type: string }, text: string): void;
  /** Lets another program have the terminal until the promise is settled. */
  aside<Result>(run: () => Promise<Result>): Promise<Result>;
  /** Ends all drawing; standard error is as it was. */
  close(): void;
}

export interface ReporterOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Show debug messages. */
  readonly verbose: boolean;
  /** Show stacks. */
  readonly debug: boolean;
}

/** NDJSON under `--json`, a live display on a terminal, one line per finished step elsewhere. */
export async function createReporter(options: ReporterOptions): Promise<Reporter> {
  if (options.json) return jsonReporter(process.stdout, options);
  const dumb = process.env["TERM"] === "dumb" || process.env["CI"] !== undefined;
  if (process.stderr.isTTY && !dumb && !options.quiet) {
    // What draws there makes tables of wide characters as it loads, for 30 to 40 ms (measured).
    const { terminalReporter } = await import("./terminal.ts");
    return terminalReporter(process.stderr, options);
  }
  return lineReporter(process.stderr, options);
}
