/**
 * Turns a package manager's last words into an error that says what is wrong and what to do. Each
 * package manager brings a table of what it says, in the C locale, when something is the matter.
 * @module
 */
import {
  EnvironmentError,
  ImgtoolError,
  IntegrityError,
  NetworkError,
  NotFoundError,
  ProcessError,
} from "@imgtool/core";
import { errorOutput } from "./apt-errors.ts";
import { nearestNames } from "./nearest.ts";

export interface PackageFailure {
  /** What was being done, in the words of the message: "install packages". */
  readonly doing: string;
  /** The distribution and release, for messages. */
  readonly distribution: string;
  readonly release: string;
  /** All of the program's output that was kept. */
  readonly output: string;
  readonly cause: unknown;
}

/** What a package manager says when something is the matter; each pattern may hold one group. */
export interface FailureWords {
  /** A package that does not exist; the group is its name. */
  readonly unknown: readonly RegExp[];
  /** A signature that does not fit. */
  readonly signature: readonly RegExp[];
  /** A mirror that does not answer; the group is its address. */
  readonly unreachable: readonly RegExp[];
  /** Packages that do not fit together; the group is the reason. */
  readonly unmet: readonly RegExp[];
  /** A package whose script failed; the group is its name. */
  readonly script: readonly RegExp[];
}

const noSpace =
  /No space left on device|not enough free disk space|more space needed on|needs at least .* more space|Partition .* too full/i;

/** Names of packages that the program says it does not have. */
function unknownNames(words: FailureWords, output: string): string[] {
  return [...new Set(words.unknown.flatMap((pattern) => groups(pattern, output)))];
}

/**
 * The error for a failed package manager; errors that are imgtool's already for another reason go through.
 * @param known names of all packages, for suggestions; asked for only when one does not exist
 */
export async function packageError(
  words: FailureWords,
  failure: PackageFailure,
  known: () => Promise<readonly string[]>,
): Promise<ImgtoolError> {
  const { doing, distribution, release, cause } = failure;
  if (cause instanceof ImgtoolError && !(cause instanceof ProcessError)) return cause;
  const output = failure.output === "" ? errorOutput(cause) : failure.output;
  const data = { distribution, release, output };
  if (noSpace.test(output)) {
    return new EnvironmentError(`cannot ${doing}: no space left`, {
      code: "no-space",
      hint: "free some space, or set WorkspaceDirectory= to a larger file system",
      data,
      cause,
    });
  }
  if (words.signature.some((pattern) => pattern.test(output))) {
    return new IntegrityError(
      `cannot ${doing}: a signature cannot be verified: ${firstLine(words.signature, output)}`,
      {
        code: "signature-invalid",
        hint: "the repository's keys are not those that imgtool has; RepositoryKeyCheck=no does without the check",
        data,
        cause,
      },
    );
  }
  if (words.unreachable.some((pattern) => pattern.test(output))) {
    return new NetworkError(`cannot ${doing}: a mirror cannot be reached: ${firstLine(words.unreachable, output)}`, {
      code: "mirror-unreachable",
      hint: "check the network, Release= and Architecture=, or name another mirror with Mirror=",
      data: { ...data, mirror: words.unreachable.flatMap((pattern) => groups(pattern, output))[0] },
      cause,
    });
  }
  const unknown = unknownNames(words, output);
  if (unknown.length > 0) {
    const all = await known().catch(() => []);
    const near = unknown.flatMap((name) => nearestNames(name, all));
    const quoted = unknown.map((name) => `"${name}"`).join(", ");
    return new NotFoundError(`${distribution} ${release} has no package${unknown.length === 1 ? "" : "s"} ${quoted}`, {
      code: "package-not-found",
      hint:
        near.length > 0
          ? `did you mean ${near.join(", ")}? Packages= names them`
          : "correct Packages=, or add the repository that has it to Repositories=",
      data: { ...data, packages: unknown },
      cause,
    });
  }
  const unmet = words.unmet.flatMap((pattern) => groups(pattern, output));
  if (unmet.length > 0) {
    return new NotFoundError(`cannot ${doing}: packages do not fit together:\n${unmet.join("\n")}`, {
      code: "dependencies-unmet",
      hint: "remove one of them from Packages=, or take all from one release",
      data: { ...data, unmet },
      cause,
    });
  }
  const broken = words.script.flatMap((pattern) => groups(pattern, output))[0];
  const last = output.trimEnd().split("\n").at(-1)?.trim() ?? "";
  return new ProcessError(
    `cannot ${doing}${broken === undefined ? "" : `: the package ${broken} cannot be set up`}${last === "" ? "" : `: ${last}`}`,
    {
      code: "install-failed",
      hint: "the last lines of its output are in the error's data (shown with --debug)",
      data: { ...data, package: broken },
      cause,
    },
  );
}

function groups(pattern: RegExp, text: string): string[] {
  return [...text.matchAll(new RegExp(pattern.source, "gm"))].map((match) => (match[1] ?? match[0]).trim());
}

function firstLine(patterns: readonly RegExp[], output: string): string {
  const line = output.split("\n").find((text) => patterns.some((pattern) => pattern.test(text)));
  return (line ?? "").trim();
}
