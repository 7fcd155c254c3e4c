/**
 * The keys that pacman verifies packages with.
 * @module
 */
import { chmod, cp, lstat, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { EnvironmentError, systemErrorCode } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { runIsolated } from "@imgtool/sandbox";
import type { PacmanFamily } from "./arch.ts";
import type { InstallOptions } from "./distribution.ts";

/**
 * A folder for GnuPG with the distribution's keys: the project's own, or one made from the keyring that
 * the project or this machine has.
 * @throws EnvironmentError `keyring-missing`
 */
export async function preparePacmanKeys(
  family: PacmanFamily,
  folder: string,
  options: InstallOptions,
): Promise<string> {
  const { sandboxTree, signal } = options;
  const target = join(folder, "gnupg");
  const own = sandboxTree === undefined ? undefined : join(sandboxTree, "etc/pacman.d/gnupg");
  if (own !== undefined && (await pathExists(own))) {
    await cp(own, target, { recursive: true });
    await chmod(target, 0o700);
    return target;
  }
  const keyrings = await findKeyrings(family, sandboxTree);
  // GnuPG's agent has its sockets there, and a socket's path is at most 107 bytes long (unix(7)): a project
  // may lie deeper than that.
  const short = await mkdtemp("/tmp/imgtool-keys-");
  try {
    await runIsolated("pacman-key", [`--gpgdir=${short}`, "--init"], { signal });
    for (const keyring of keyrings) await addKeyring(keyring, short, signal);
    await cp(short, target, { recursive: true, filter: isKept });
    await chmod(target, 0o700);
  } finally {
    await rm(short, { recursive: true, force: true });
  }
  return target;
}

/** The agent is gone with its namespace; its sockets and locks stay behind. */
async function isKept(path: string): Promise<boolean> {
  return !(await lstat(path)).isSocket() && !path.endsWith(".lock");
}

interface Keyring {
  readonly path: string;
  /** Fingerprints of the keys that vouch for the others, and of those that are no longer good. */
  readonly trusted: readonly string[];
  readonly revoked: readonly string[];
}

/** What `pacman-key --populate` does with keyrings of this machine alone. */
async function addKeyring(keyring: Keyring, gpgFolder: string, signal: AbortSignal | undefined): Promise<void> {
  const run = async (args: readonly string[]): Promise<void> => {
    await runIsolated("pacman-key", [`--gpgdir=${gpgFolder}`, ...args], { signal });
  };
  const gpg = async (args: readonly string[], input: string): Promise<void> => {
    await runIsolated("gpg", ["--homedir", gpgFolder, "--batch", "--no-permission-warning", ...args], {
      input,
      signal,
    });
  };
  await run(["--add", keyring.path]);
  if (keyring.trusted.length > 0) {
    await run(["--lsign-key", ...keyring.trusted]);
    await gpg(["--import-ownertrust"], keyring.trusted.map((fingerprint) => `${fingerprint}:4:\n`).join(""));
  }
  for (const fingerprint of keyring.revoked)
    await gpg(["--command-fd=0", "--no-tty", "--edit-key", fingerprint], "disable\nquit\n");
  await run(["--updatedb"]);
}

/** The keyrings of the project, else of this machine. @throws EnvironmentError `keyring-missing` */
async function findKeyrings(family: PacmanFamily, sandboxTree: string | undefined): Promise<Keyring[]> {
  const places = [
    ...(sandboxTree === undefined ? [] : [join(sandboxTree, "usr/share/pacman/keyrings")]),
    "/usr/share/pacman/keyrings",
    // Where Debian's package has them, among those of others.
    "/usr/share/keyrings",
  ];
  for (const place of places) {
    const isShared = place === "/usr/share/keyrings";
    const names = (await filesOf(place))
      .filter((name) => name.endsWith(".gpg"))
      .map((name) => name.slice(0, -4))
      .filter((name) => !isShared || `${name}-keyring` === family.keyringPackage);
    if (names.length === 0) continue;
    return await Promise.all(
      names.map(async (name) => ({
        path: join(place, `${name}.gpg`),
        trusted: await fingerprints(join(place, `${name}-trusted`)),
        revoked: await fingerprints(join(place, `${name}-revoked`)),
      })),
    );
  }
  throw new EnvironmentError(`${family.title}'s keys are missing: its packages cannot be verified`, {
    code: "keyring-missing",
    hint: `apt-get install ${family.keyringPackage}, or put a keyring into mkosi.sandbox/usr/share/pacman/keyrings/`,
    data: { places, package: family.keyringPackage, distribution: family.name },
  });
}

/** Fingerprints of a list, a line each; what follows a colon is how far a key is trusted. */
async function fingerprints(path: string): Promise<string[]> {
  if (!(await pathExists(path))) return [];
  const lines = (await readFile(path, "utf8")).split("\n");
  return lines.map((line) => line.split(":")[0]?.trim() ?? "").filter((text) => /^[0-9A-Fa-f]{40,64}$/.test(text));
}

async function filesOf(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
