/**
 * Credentials for the guest's systemd, as SMBIOS strings of type 11 (systemd.exec(5), systemd(1)).
 * Each is handed to QEMU in a file of its own memory: on a command line everybody could read them, and
 * on disk they could stay behind.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { PassedFiles } from "./passed-files.ts";
import type { CredentialFile } from "./virtual-machine.ts";

/** What systemd takes for one credential, CREDENTIAL_SIZE_MAX. */
const largest = 1024 ** 2;

/**
 * One file in memory for each credential, with its SMBIOS string.
 * @throws ConfigError `credential-invalid`
 */
export function passCredentials(credentials: Readonly<Record<string, string>>, files: PassedFiles): CredentialFile[] {
  return Object.entries(credentials).map(([name, value]) => ({
    name,
    path: files.addSecret(name, credentialString(name, value)),
  }));
}

/**
 * One file in memory for each credential, with its plain content, for systemd-nspawn.
 * @throws ConfigError `credential-invalid`
 */
export function passPlainCredentials(
  credentials: Readonly<Record<string, string>>,
  files: PassedFiles,
): CredentialFile[] {
  return Object.entries(credentials).map(([name, value]) => {
    checkCredential(name, value);
    return { name, path: files.addSecret(name, value) };
  });
}

/**
 * The SMBIOS string of a credential; in base64, which any content survives.
 * @throws ConfigError `credential-invalid`
 */
export function credentialString(name: string, value: string): string {
  checkCredential(name, value);
  return `io.systemd.credential.binary:${name}=${Buffer.from(value, "utf8").toString("base64")}`;
}

function checkCredential(name: string, value: string): void {
  if (name === "" || name === "." || name === ".." || /[/=:\s\0]/.test(name) || name.length > 255) {
    throw new ConfigError(`not the name of a credential: "${name}"`, {
      code: "credential-invalid",
      hint: "a name is a plain file name, without slash, colon and equals sign",
      data: { name },
    });
  }
  const size = Buffer.byteLength(value, "utf8");
  if (size > largest) {
    throw new ConfigError(`the credential ${name} has ${size} bytes: systemd takes at most ${largest}`, {
      code: "credential-invalid",
      data: { name, size },
    });
  }
}
