/**
 * An OpenPGP key for repositories that tests sign.
 * @module
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../run.ts";

export interface SigningKey {
  /** GNUPGHOME. */
  readonly home: string;
  readonly name: string;
  /** The public key, with and without ASCII armour. */
  readonly armored: string;
  readonly binary: string;
  readonly fingerprint: string;
}

/** Makes a key in a new folder. */
export function makeSigningKey(folder: string): SigningKey {
  const home = join(folder, "gnupg");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const name = "test@example.org";
  const env = { GNUPGHOME: home };
  run("gpg", ["--batch", "--quiet", "--passphrase", "", "--quick-gen-key", name, "rsa2048", "sign", "never"], { env });
  const [armored, binary] = [join(folder, "key.asc"), join(folder, "key.gpg")];
  run("gpg", ["--armor", "--output", armored, "--export", name], { env });
  run("gpg", ["--output", binary, "--export", name], { env });
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(run("gpg", ["--with-colons", "--list-keys"], { env }))?.[1] ?? "";
  run("gpgconf", ["--kill", "all"], { env });
  return { home, name, armored, binary, fingerprint };
}

/** Writes `FILE.sig` or, armoured, `FILE.asc`. */
export function signFile(key: SigningKey, path: string, suffix: "sig" | "asc"): void {
  const armor = suffix === "asc" ? ["--armor"] : [];
  run(
    "gpg",
    ["--batch", "--yes", "--local-user", key.name, ...armor, "--output", `${path}.${suffix}`, "--detach-sign", path],
    {
      env: { GNUPGHOME: key.home },
    },
  );
}
