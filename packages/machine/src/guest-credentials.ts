/**
 * The credentials that every running system gets: the project's own, answers to what a first boot asks,
 * and the key that may log in.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { RuntimeConfig } from "@imgtool/config";
import { ConfigError } from "@imgtool/core";
import { authorizedKey } from "./ssh-key.ts";

/** A first boot on which nobody types would wait for the answers of systemd-firstboot(1) forever. */
const firstBootAnswers: Readonly<Record<string, string>> = {
  "firstboot.locale": "C.UTF-8",
  "firstboot.timezone": "UTC",
};

/** systemd-tmpfiles writes it to the file where sshd looks. */
const rootKeys = "ssh.authorized_keys.root";

/**
 * Names and contents.
 * @throws ConfigError `ssh-certificate-missing`, `ssh-certificate-invalid`
 */
export async function guestCredentials(
  runtime: Pick<RuntimeConfig, "credentials" | "ssh" | "sshCertificate">,
): Promise<Record<string, string>> {
  const given = { ...firstBootAnswers, ...runtime.credentials };
  if (given[rootKeys] !== undefined) return given;
  const { sshCertificate } = runtime;
  if (sshCertificate !== undefined)
    return { ...given, [rootKeys]: authorizedKey(await readFile(sshCertificate), sshCertificate) };
  if (!runtime.ssh) return given;
  throw new ConfigError("Ssh=yes needs the certificate of the key that may log in, and there is none", {
    code: "ssh-certificate-missing",
    hint: "make mkosi.key and mkosi.crt with: imgtool genkey",
  });
}
