/**
 * Credentials for the guest's systemd, as SMBIOS strings of type 11 (systemd.exec(5), systemd(1)).
 * Each is handed to QEMU in a file: on a command line everybody could read them.
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@imgtool/core";
import type { CredentialFile } from "./virtual-machine.ts";

/** What systemd takes for one credential, CREDENTIAL_SIZE_MAX. */
const largest = 1024 ** 2;

/**
 * Writes one file for each credential to `folder`, readable by the owner only.
 * @throws ConfigError `credential-invalid`
 */
export async function writeCredentials(
  credentials: Readonly<Record<string, string>>,
  folder: string,
): Promise<CredentialFile[]> {
  return await writeFiles(credentials, folder, credentialString);
}

/**
 * Writes one file with the plain content for each credential, for systemd-nspawn.
 * @throws ConfigError `credential-invalid`
 */
export async function writePlainCredentials(
  credentials: Readonly<Record<string, string>>,
  folder: string,
): Promise<CredentialFile[]> {
  return await writeFiles(credentials, folder, (name, value) => {
    checkCredential(name, value);
    return value;
  });
}

async function writeFiles(
  credentials: Readonly<Record<string, string>>,
  folder: string,
  content: (name: string, value: string) => string,
): Promise<CredentialFile[]> {
  const files: CredentialFile[] = [];
  for (const [name, value] of Object.entries(credentials)) {
    const path = join(folder, `credential-${files.length}`);
    await writeFile(path, content(name, value), { mode: 0o600 });
    files.push({ name, path });
  }
  return files;
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
