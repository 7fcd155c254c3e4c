/** Docker's registry, from Debian's package docker-registry, on loopback. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../run.ts";
import { temporaryFolder } from "../temporary.ts";
import { freePort } from "./free-port.ts";

/** A service that gives tokens for it. */
export interface TokenIssuer {
  /** What the registry's challenge names. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** The certificate of its key, in PEM form. */
  readonly certificate: string;
}

export interface RegistryServer {
  /** 127.0.0.1:port */
  readonly host: string;
  close(): Promise<void>;
}

/**
 * Starts one that keeps everything in a temporary folder; with a password, it lets only `user` in, with a token
 * server those who have its tokens.
 */
export async function startRegistry(access?: string | TokenIssuer): Promise<RegistryServer> {
  const folder = temporaryFolder();
  const host = `127.0.0.1:${await freePort()}`;
  let auth = "";
  if (typeof access === "string") {
    const hashed = run("python3", ["-c", bcrypt, access]).trim();
    writeFileSync(folder.join("users"), `user:${hashed}\n`);
    auth = `auth: {htpasswd: {realm: registry, path: ${folder.join("users")}}}\n`;
  } else if (access !== undefined) {
    const { realm, service, issuer, certificate } = access;
    writeFileSync(folder.join("tokens.pem"), certificate);
    auth = `auth: {token: {realm: "${realm}", service: "${service}", issuer: "${issuer}", rootcertbundle: ${folder.join("tokens.pem")}}}\n`;
  }
  writeFileSync(
    folder.join("config.yml"),
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${folder.join("data")}}, delete: {enabled: true}}\nhttp: {addr: "${host}", secret: of the tests}\n${auth}`,
  );
  const server = spawn("docker-registry", ["serve", folder.join("config.yml")], { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => server.once("close", () => resolve()));
  const close = async (): Promise<void> => {
    server.kill("SIGKILL");
    await ended;
    folder[Symbol.dispose]();
  };
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    if (answer !== undefined) return { host, close };
    if (tries === 300 || server.exitCode !== null) {
      await close();
      throw new Error("docker-registry does not answer");
    }
    await delay(50);
  }
}

/** The only hash that the registry takes; Python's crypt is the C library's. */
const bcrypt = "import crypt, sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH)))";
