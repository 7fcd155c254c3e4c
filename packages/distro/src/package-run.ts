/**
 * Runs a package manager of this machine on an image's tree, and turns what it says into errors.
 * @module
 */
import { runIsolated } from "@imgtool/sandbox";
import { asCacheError } from "./cache-only.ts";
import type { InstallOptions } from "./distribution.ts";
import { packageError, type FailureWords } from "./package-error.ts";

export interface PackageManager {
  readonly program: string;
  /** Arguments of every command. */
  readonly common: readonly string[];
  /** Arguments of commands that may use only what was downloaded before. */
  readonly offline: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Exit codes that count as success. */
  readonly success?: readonly number[];
  readonly words: FailureWords;
  readonly tree: string;
  /** For messages. */
  readonly distribution: string;
  readonly release: string;
  /** Names of all packages. */
  readonly known: () => Promise<readonly string[]>;
  readonly signal: AbortSignal | undefined;
  /** As InstallOptions has it. */
  readonly cacheOnly?: InstallOptions["cacheOnly"];
}

interface PackageCommand {
  readonly args: readonly string[];
  /** What is being done, for messages: "install packages". */
  readonly doing: string;
  /** Whether the tree has /proc, /dev, /run and /tmp of its own meanwhile. */
  readonly mounted: boolean;
  readonly offline: boolean;
  readonly onLine?: (line: string) => void;
}

/** Runs one command to its end; returns the last lines that it printed, 5,000 at most. */
export type RunPackages = (command: PackageCommand) => Promise<readonly string[]>;

export interface PreparedRun {
  readonly run: RunPackages;
  /** Removes what the program keeps in the tree between its commands, besides packages. */
  readonly tidy: () => Promise<void>;
}

/** @returns a function that throws what Distribution.install does */
export function packageRunner(manager: PackageManager): RunPackages {
  const { program, common, env, success, words, tree, distribution, release, signal } = manager;
  const isOffline = manager.cacheOnly === "everything";
  return async ({ args, doing, mounted, offline, onLine }) => {
    const printed: string[] = [];
    const keep = (line: string): void => {
      printed.push(line);
      if (printed.length > 5000) printed.shift();
      onLine?.(line);
    };
    try {
      await runIsolated(program, [...common, ...(offline ? manager.offline : []), ...args], {
        env,
        signal,
        ...(success === undefined ? {} : { success }),
        ...(mounted ? { tree } : {}),
        network: !isOffline,
        onStdoutLine: keep,
        onStderrLine: keep,
      });
    } catch (cause) {
      const output = printed.slice(-200).join("\n");
      const error = await packageError(words, { doing, distribution, release, output, cause }, manager.known);
      throw isOffline ? asCacheError(error, doing) : error;
    }
    return printed;
  };
}
