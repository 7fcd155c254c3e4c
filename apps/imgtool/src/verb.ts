/**
 * What every verb shares: the common options, the reporter, Ctrl-C, and the way an error ends.
 * @module
 */
import { AbortedError, FormatError } from "@imgtool/core";
import { setStoreAccess } from "@imgtool/store/access";
import { Command } from "commander";
import { ignoredOptions } from "./casync-options.ts";
import { hideSecrets } from "./hide-secrets.ts";
import { createReporter, type Reporter } from "./report/reporter.ts";
import { withResultFile } from "./report/result-file.ts";
import { storesFileAccess } from "./stores-file/stores-file.ts";
import { warnUnused } from "./unused-options.ts";

export interface VerbContext {
  readonly reporter: Reporter;
  /** Fires at the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly debug?: boolean;
  readonly resultFile?: string;
  /** casync's. */
  readonly logLevel?: string;
}

/** A commander command with the options that all verbs have; it throws rather than exits. */
export function verbCommand(name: string, summary: string): Command {
  return (
    new Command(`imgtool ${name}`)
      .description(summary)
      .option("--json", "print events and results as NDJSON on standard output")
      .option("-q, --quiet", "print nothing but results, warnings and errors")
      .option("-v, --verbose", "say more: each step, and why it is done")
      .option("--debug", "as --verbose, and show stacks of errors")
      .option("--result-file <path>", "also write the result as JSON to this file")
      .exitOverride()
      // The error is shown like all others, when it arrives at the top.
      .configureOutput({ outputError: () => {} })
      .showSuggestionAfterError()
  );
}

/** Runs a verb's work with a reporter and a signal, and takes both down again. */
export async function runVerb(command: Command, work: (context: VerbContext) => Promise<void>): Promise<void> {
  const options = command.opts<CommonOptions>();
  const level = options.logLevel;
  const reporter = withResultFile(
    await createReporter({
      json: options.json === true,
      quiet: options.quiet === true || level === "err",
      verbose: options.verbose === true || options.debug === true || level === "debug",
      debug: options.debug === true || level === "debug",
    }),
    options.resultFile,
  );
  warnUnused(command, ignoredOptions(command), "for this verb", reporter);
  setStoreAccess(storesFileAccess());
  const controller = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(130);
    reporter.log("warning", "interrupted: cleaning up; once more to exit at once");
    controller.abort(new AbortedError(`stopped by ${signal}`));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    await work({ reporter, signal: controller.signal });
  } catch (error) {
    nameArchive(error, command.args[0]);
    hideSecrets(error, command);
    throw error;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
    reporter.close();
  }
}

/** The decoder sees bytes and not their file, which is the first operand of every verb that reads an archive. */
function nameArchive(error: unknown, location: string | undefined): void {
  if (error instanceof FormatError && location !== undefined)
    error.message = error.message.replace(/^archive(?=, offset)/, () => `the archive of ${location}`);
}

/** Collects the values of an option that may be given more than once. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
