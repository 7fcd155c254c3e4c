/**
 * `imgtool verify`: checks an index and its store, a whole store, or a file or directory against an index.
 * @module
 */
import { statSync } from "node:fs";
import { ConfigError, formatSize, IntegrityError } from "@imgtool/core";
import { isRemoteLocation, shownLocation } from "@imgtool/store";
import type { Problem, Verified } from "@imgtool/sync";
import type { Command } from "commander";
import {
  addTransferOptions,
  networkAccess,
  type NetworkOptions,
  addStoreOptions,
  storeKey,
  type StoreOptions,
  targetOf,
} from "../chunk-options.ts";
import { openListed } from "../open-listed.ts";
import { openIndex, openIndexAlone } from "../open-source.ts";
import type { Reporter } from "../report/reporter.ts";
import { addUidOptions, idShiftOf, type UidOptions } from "../uid-options.ts";
import { runVerb, type VerbContext, verbCommand } from "../verb.ts";

const examples = `
Examples:
  imgtool verify image.caibx                 every chunk of the index: there, whole, of the right length
  imgtool verify --index-only image.caibx    the index alone
  imgtool verify default.castr               a whole store: every chunk is what its name says
  imgtool verify s3://bucket/default.castr   the same; gs, azure, sftp and ftp stores can be listed, too
  imgtool verify image.caibx image.raw       a file or block device against an index
  imgtool verify tree.caidx /srv/tree        a directory against an index

All problems are reported (under --json, each as an event); with any, the exit code is 3.`;

/** Problems that are printed one by one for people; --json has them all. */
const shownProblems = 50;

interface VerifyVerbOptions extends StoreOptions, NetworkOptions, UidOptions {
  readonly indexOnly?: boolean;
  readonly json?: boolean;
}

interface VerifyTask extends VerbContext {
  readonly source: string;
  readonly options: VerifyVerbOptions;
  readonly onProblem: (problem: Problem) => void;
}

export function command(): Command {
  const verify = verbCommand("verify", "Check an index, a store, or a file or directory against an index.")
    .argument(
      "<source>",
      ".caibx or .caidx (path or URL), or a store: its directory, or its URL where it can be listed",
    )
    .argument("[content]", "file, block device or directory to compare with the index")
    .option("--index-only", "check only the form of the index")
    .addHelpText("after", examples);
  addUidOptions(addTransferOptions(addStoreOptions(verify)));
  return verify.action((source: string, content: string | undefined) =>
    runVerb(verify, async ({ reporter, signal }) => {
      const options = verify.opts<VerifyVerbOptions>();
      const onProblem = problemPrinter(reporter, options.json === true);
      const task: VerifyTask = { source, options, reporter, signal, onProblem };
      const isIndex = targetOf(source) === "blob-index" || targetOf(source) === "archive-index";
      if (!isIndex && content !== undefined) throw notAnIndex(source);
      const shown = shownLocation(source);
      const subject = content ?? shown;
      const result =
        content !== undefined
          ? await verifyContent(task, content)
          : isIndex
            ? await verifyIndex(task)
            : await verifyDirectory(task);
      const { chunks, bytes, problems } = result;
      const count = problems === 0 ? "no problems" : problems === 1 ? "1 problem" : `${problems} problems`;
      reporter.result(
        { source: shown, content, ok: problems === 0, ...result },
        `${subject}  ${chunks} chunks, ${formatSize(bytes)}: ${count}`,
      );
      if (problems === 0) return;
      throw new IntegrityError(`${subject}: ${count} found`, {
        code: "verify-failed",
        data: { source: shown, content, problems },
      });
    }),
  );
}

/** Prints problems: all of them as events, the first as text. */
function problemPrinter(reporter: Reporter, json: boolean): (problem: Problem) => void {
  let count = 0;
  return (problem) => {
    count++;
    if (json || count <= shownProblems) reporter.event({ type: "problem", ...problem }, problem.message);
    else if (count === shownProblems + 1)
      reporter.log("warning", "more problems are only counted", "--json prints them all");
  };
}

/** An index alone, or with every chunk that it names and, for a tree, the form of its archive. */
async function verifyIndex({ source, options, reporter, signal, onProblem }: VerifyTask): Promise<Verified> {
  const { readIndex, verifyArchive, verifyChunks } = await import("@imgtool/sync");
  if (options.indexOnly === true) {
    const index = await readIndex(source, { key: storeKey(options, [source]), access: networkAccess(options), signal });
    return { chunks: index.count, bytes: index.totalSize, problems: 0 };
  }
  await using opened = await openIndex(source, options, reporter, signal);
  const { index, stores } = opened;
  const shared = { index, progress: reporter, signal, onProblem };
  const result = await verifyChunks({ ...shared, stores });
  if (result.problems > 0 || targetOf(source) !== "archive-index") return result;
  return { ...result, ...(await verifyArchive({ ...shared, stores })) };
}

/** A store without an index. */
async function verifyDirectory({ source, options, reporter, signal, onProblem }: VerifyTask): Promise<Verified> {
  const { verifyStore } = await import("@imgtool/sync");
  const shared = { key: storeKey(options, []), progress: reporter, signal, onProblem };
  if (isRemoteLocation(source)) {
    const store = await openListed(source, options, "verify an index against it: imgtool verify --store=URL INDEX");
    try {
      return await verifyStore({ ...shared, store });
    } finally {
      await store.close();
    }
  }
  if (statSync(source, { throwIfNoEntry: false })?.isFile() === true) throw notAnIndex(source);
  return verifyStore({ ...shared, store: source });
}

/** A file or directory against an index. */
async function verifyContent(
  { source, options, reporter, signal, onProblem }: VerifyTask,
  content: string,
): Promise<Verified> {
  const { readIndex, verifyFile, verifyTree } = await import("@imgtool/sync");
  const shared = { progress: reporter, signal, onProblem };
  if (targetOf(source) === "blob-index") {
    const index = await readIndex(source, { key: storeKey(options, [source]), access: networkAccess(options), signal });
    return verifyFile({ ...shared, index, file: content });
  }
  await using opened = await openIndexAlone(source, options, reporter, signal);
  const idShift = idShiftOf(options, content);
  return verifyTree({ ...shared, index: opened.index, stores: opened.stores, directory: content, idShift });
}

function notAnIndex(source: string): ConfigError {
  return new ConfigError(`cannot tell what ${shownLocation(source)} is from its name`, {
    code: "source-unknown",
    hint: "expected a name that ends with .caibx or .caidx, or the directory of a store",
  });
}
