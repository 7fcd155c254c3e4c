/**
 * The OpenPGP signature of SHA256SUMS, as systemd-pull(8) and systemd-sysupdate(8) look for it.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, ProcessError } from "@imgtool/core";
import { requireTool, runTool } from "@imgtool/host";

/** Variables that gpg finds the user's keys by. */
function gpgEnvironment(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of ["GNUPGHOME", "GPG_TTY", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"]) {
    const value = process.env[name];
    if (value !== undefined) found[name] = value;
  }
  return found;
}

/**
 * Refuses what cannot be signed, before anything is built.
 * @throws EnvironmentError `tool-missing`, ConfigError `signing-key-missing`
 */
export async function checkSigningKey({ sign, openPgpKey }: ImageConfig): Promise<void> {
  if (!sign) return;
  await requireTool("gpg");
  const args = [
    "--batch",
    "--with-colons",
    "--list-secret-keys",
    ...(openPgpKey === undefined ? [] : ["--", openPgpKey]),
  ];
  const { stdout, exitCode } = await runTool("gpg", args, { env: gpgEnvironment(), success: [0, 2] });
  if (exitCode === 0 && /^sec:/m.test(stdout)) return;
  throw new ConfigError(
    openPgpKey === undefined ? "Sign=yes: gpg has no secret key" : `Sign=yes: gpg has no secret key "${openPgpKey}"`,
    {
      code: "signing-key-missing",
      hint: "name one of gpg --list-secret-keys with Key=, or make one with gpg --quick-gen-key",
      data: { key: openPgpKey },
    },
  );
}

/** Writes the detached signature of `path`. @throws ProcessError `signing-failed` */
export async function signChecksums(
  config: ImageConfig,
  path: string,
  signature: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { openPgpKey, sourceDateEpoch } = config;
  const user = openPgpKey === undefined ? [] : ["--local-user", openPgpKey];
  // Two builds of one input sign at one time.
  const time = [`--faked-system-time=${sourceDateEpoch}!`];
  const sign = async (when: readonly string[]): Promise<unknown> =>
    await runTool("gpg", ["--batch", "--yes", ...when, ...user, "--output", signature, "--detach-sign", "--", path], {
      env: gpgEnvironment(),
      signal,
    });
  try {
    // A key that is younger than the sources can sign at no earlier time than its own.
    await sign(time).catch(async (error: unknown) => {
      if (!(error instanceof ProcessError)) throw error;
      await sign([]);
    });
  } catch (cause) {
    if (!(cause instanceof ProcessError)) throw cause;
    throw new ProcessError(`cannot sign ${path}: ${cause.message}`, {
      code: "signing-failed",
      hint: "the key may need its passphrase: start gpg-agent, or use a key without one",
      cause,
    });
  }
}
