/**
 * Turns apt's and mmdebstrap's last words into an error that says what is wrong and what to do.
 * The messages are apt's in the C locale, stable since apt 1.6.
 * @module
 */
import {
  EnvironmentError,
  ImgtoolError,
  IntegrityError,
  NetworkError,
  NotFoundError,
  ProcessError,
  type ErrorOptions,
} from "@imgtool/core";
import type { DebianFamily } from "./debian.ts";

export interface AptFailure {
  /** What was being done, in the words of the message: "install packages". */
  readonly doing: string;
  readonly family: DebianFamily;
  readonly release: string;
  /** All of its output that was kept. */
  readonly output: string;
  readonly cause: unknown;
}

/** The output that a failed program's error keeps. */
export function errorOutput(error: unknown): string {
  const output = error instanceof ImgtoolError ? error.data["output"] : undefined;
  return typeof output === "string" ? output : "";
}

/** Names of packages that apt says it does not have. */
export function unknownPackages(output: string): string[] {
  const names = [
    ...output.matchAll(/^E: Unable to locate package (\S+)/gm),
    ...output.matchAll(/^E: Package '([^']+)' has no installation candidate/gm),
    ...output.matchAll(/^E: Version '[^']*' for '([^']+)' was not found/gm),
    ...output.matchAll(/^E: Couldn't find any package by (?:glob|regex) '([^']+)'/gm),
  ];
  return [...new Set(names.map((match) => match[1] ?? ""))];
}

/** Pinned versions that apt says it does not have, as `name=version`. */
export function missingVersions(output: string): string[] {
  const found = output.matchAll(/^E: Version '([^']*)' for '([^']+)' was not found/gm);
  return [...found].map((match) => `${match[2] ?? ""}=${match[1] ?? ""}`);
}

/** The error for a failed apt or mmdebstrap. Errors that are imgtool's already for another reason go through. */
export function aptError(failure: AptFailure): ImgtoolError {
  const { doing, family, release, output, cause } = failure;
  if (cause instanceof ImgtoolError && !(cause instanceof ProcessError)) return cause;
  const common = (code: string, hint: string, data: Record<string, unknown> = {}): ErrorOptions => ({
    code,
    hint,
    cause,
    data: { ...data, distribution: family.name, release, output },
  });

  if (/No space left on device|You don't have enough free space in|not enough space/i.test(output)) {
    const where = /free space in (\S+?)\.?$/m.exec(output)?.[1];
    return new EnvironmentError(`cannot ${doing}: no space left${where === undefined ? "" : ` in ${where}`}`, {
      ...common("no-space", "free some space, or set WorkspaceDirectory= to a larger file system"),
    });
  }
  const missingKey = /NO_PUBKEY ([0-9A-F]+)/.exec(output)?.[1];
  if (missingKey !== undefined || /GPG error|is not signed|BADSIG|EXPKEYSIG|REVKEYSIG/.test(output)) {
    const key = missingKey === undefined ? "" : `: key ${missingKey} is not in the keyring`;
    return new IntegrityError(`cannot ${doing}: the archive's signature cannot be verified${key}`, {
      ...common(
        "signature-invalid",
        `update the package ${family.keyringPackage} on this machine; RepositoryKeyCheck=no does without the check`,
        { key: missingKey },
      ),
    });
  }
  const noRelease = /The repository '(\S+) (\S+) Release' (?:does not have a Release file|no longer has)/.exec(output);
  if (noRelease !== null && /404|does not have a Release file/.test(output) && !unreachable.test(output)) {
    return new NotFoundError(`the archive ${noRelease[1] ?? ""} has no release "${noRelease[2] ?? ""}"`, {
      ...common("release-not-found", "check Release= and Mirror=; old releases move to an archive server", {
        mirror: noRelease[1],
        release: noRelease[2],
      }),
    });
  }
  if (unreachable.test(output)) {
    const mirror =
      /^(?:Err:\d+|E: Failed to fetch|W: Failed to fetch) (\S+)/m.exec(output)?.[1] ??
      /The repository '(\S+) /.exec(output)?.[1];
    const reason =
      /(Temporary failure resolving '[^']+'|Could not resolve '[^']+'|Could not connect to \S+|Connection (?:failed|refused|timed out)[^\n]*|(?:4|5)\d\d {2}[A-Z][^\n[]*)/.exec(
        output,
      )?.[1];
    return new NetworkError(
      `cannot ${doing}: the mirror ${mirror ?? "of the distribution"} cannot be reached${reason === undefined ? "" : `: ${reason.trim()}`}`,
      common("mirror-unreachable", "check the network, or name another with Mirror=", { mirror }),
    );
  }
  if (/unmet dependencies|held broken packages|Unable to correct problems/.test(output)) {
    const unmet = [...output.matchAll(/^ *(\S+) : (?:Depends|PreDepends|Conflicts|Breaks): [^\n]+/gm)].map((m) =>
      m[0].trim(),
    );
    return new NotFoundError(`cannot ${doing}: packages do not fit together:\n${unmet.join("\n")}`, {
      ...common("dependencies-unmet", "remove one of them from Packages=, or take all from one release", { unmet }),
    });
  }
  if (/cannot be executed|arch-test|Exec format error/.test(output)) {
    return new EnvironmentError(`cannot ${doing}: this machine cannot run programs of the image's architecture`, {
      ...common("architecture-not-runnable", "apt-get install qemu-user-static binfmt-support arch-test"),
    });
  }
  const broken = /dpkg: error processing (?:package|archive) (\S+)/.exec(output)?.[1];
  const last = output
    .split("\n")
    .findLast((line) => /^(E|dpkg|W): /.test(line) && !/run_chroot failed|apt-get.*failed/.test(line));
  return new ProcessError(
    `cannot ${doing}${broken === undefined ? "" : `: the package ${broken} cannot be set up`}${last === undefined ? "" : `: ${last.replace(/^E: /, "")}`}`,
    common("install-failed", "the last lines of its output are in the error's data (shown with --debug)", {
      package: broken,
    }),
  );
}

const unreachable =
  /Temporary failure resolving|Could not resolve|Could not connect|Connection (?:failed|refused|timed out)|Cannot initiate the connection|Network is unreachable|No route to host|Failed to fetch|Unable to connect|Connection reset/;
