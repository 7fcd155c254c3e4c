/**
 * The entry point: finds the verb, loads its file, runs it, and ends with a documented exit code.
 * @module
 */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { CommanderError } from "commander";
import { splitVerb } from "./arguments.ts";
import { acceptCasyncOptions } from "./casync-options.ts";
import { explain } from "./explain.ts";
import { overview } from "./overview.ts";
import { createReporter } from "./report/reporter.ts";
import { verbs } from "./verbs.ts";

async function main(argv: readonly string[]): Promise<number> {
  try {
    refuseOtherEncodings(argv);
    const { verb, rest } = await splitVerb(argv);
    if (verb === undefined) return await overview(rest);
    const command = (await verbs[verb].load()).command();
    acceptCasyncOptions(verb, command);
    await command.parseAsync([...rest], { from: "user" });
    // Verbs that run something else end with its status.
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    // --help and --version end this way, too, after they have printed what they are for.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError ? usageError(thrown) : thrown;
    const debug = argv.includes("--debug");
    const reporter = await createReporter({ json: argv.includes("--json"), quiet: false, verbose: debug, debug });
    const explained = explain(error);
    reporter.error(explained, explained.exitCode);
    reporter.close();
    return explained.exitCode;
  }
}

/**
 * Node.js reads arguments as UTF-8, and what is none becomes U+FFFD: another name than the one that was given.
 * @throws ConfigError `argument-encoding`
 */
function refuseOtherEncodings(argv: readonly string[]): void {
  const argument = argv.find((one) => one.includes("\uFFFD"));
  if (argument === undefined || isUtf8(readFileSync("/proc/self/cmdline"))) return;
  throw new ConfigError(`the argument ${argument} is not UTF-8, and would name another file`, {
    code: "argument-encoding",
    hint: "give a path to it whose names are UTF-8: a symbolic link, or . in the directory itself",
    data: { argument },
  });
}

/** A wrong option or argument; commander's message has a second line when a name is nearly right. */
function usageError({ message }: CommanderError): ConfigError {
  const [first = "", suggestion] = message.replace(/^error: /, "").split("\n");
  return new ConfigError(first, {
    code: "usage",
    hint: suggestion?.replace(/^\(Did you mean (.*)\)$/, "did you mean $1") ?? "imgtool VERB --help lists its options",
  });
}

// A reader that goes away (imgtool list … | head) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await main(process.argv.slice(2));
