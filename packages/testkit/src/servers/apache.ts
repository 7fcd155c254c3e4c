/** apache2's mod_dav: the WebDAV server that others use. */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { findProgram } from "../needs.ts";
import { temporaryFolder } from "../temporary.ts";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.ts";

export interface ApacheServer {
  readonly url: string;
  /** What it has written into its log of accesses. */
  readonly log: string;
  close(): Promise<void>;
}

/** Debian's, without a configuration of the machine's. @param passwordFile asks for it, of the user "publisher" */
export async function startApache(root: string, passwordFile?: string): Promise<ApacheServer> {
  const folder = temporaryFolder();
  const port = await freePort();
  mkdirSync(folder.join("state"), { mode: 0o777 });
  const modules = ["mpm_event", "authz_core", "authn_core", "authn_file", "auth_basic", "authz_user", "dav", "dav_fs"];
  writeFileSync(
    folder.join("apache.conf"),
    `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
     ServerRoot ${folder.path}
     ServerName localhost
     PidFile ${folder.join("pid")}
     ErrorLog ${folder.join("errors")}
     LogFormat "%m %U %>s" short
     CustomLog ${folder.join("log")} short
     Listen 127.0.0.1:${port}
     DavLockDB ${folder.join("state/locks")}
     DocumentRoot ${root}
     <Directory />
       Dav On
       ${passwordFile === undefined ? "Require all granted" : `AuthType Basic\nAuthName store\nAuthUserFile ${passwordFile}\nRequire valid-user`}
     </Directory>\n`,
  );
  const apache = [findProgram("apache2") ?? "/usr/sbin/apache2", "-DFOREGROUND", "-f", folder.join("apache.conf")];
  // It refuses to be root; the files that tests lay are root's, though.
  const capabilities = "+dac_override,+fowner";
  const asOther = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  const unprivileged =
    process.getuid?.() === 0
      ? ["setpriv", ...asOther, `--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`]
      : [];
  const [program = "", ...args] = [...unprivileged, ...apache];
  const child = spawn(program, args, { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}/`;
  for (let tries = 0; tries < 200 && child.exitCode === null; tries++) {
    if ((await fetch(`${url}nothing`).catch(() => undefined)) !== undefined) break;
    await delay(50);
  }
  return {
    url,
    log: folder.join("log"),
    close: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      folder[Symbol.dispose]();
    },
  };
}
