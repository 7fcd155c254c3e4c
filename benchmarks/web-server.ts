/**
 * nginx on the loopback interface in front of the benchmarks' directory: for extraction over HTTP.
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { findProgram } from "@imgtool/testkit";

export interface WebServer extends AsyncDisposable {
  /** Without a slash at its end. */
  readonly url: string;
}

/** Serves the directory; undefined where there is no nginx. */
export async function startWebServer(directory: string): Promise<WebServer | undefined> {
  const nginx = findProgram("nginx");
  if (nginx === undefined) return undefined;
  const own = join(directory, "nginx");
  mkdirSync(own);
  const port = await freePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${own}/t;`);
  const config = `daemon off; pid ${own}/pid; error_log ${own}/errors; ${process.getuid?.() === 0 ? "user root;" : ""}
events {}
http { access_log off; sendfile on; keepalive_requests 1000000; ${temporary.join(" ")}
  server { listen 127.0.0.1:${port}; root ${directory}; } }
`;
  writeFileSync(join(own, "conf"), config);
  const server = spawn(nginx, ["-c", join(own, "conf")], { stdio: ["ignore", "inherit", "inherit"] });
  const exited = once(server, "exit");
  const url = `http://127.0.0.1:${port}`;
  while (!(await answers(url))) {
    if (server.exitCode !== null) throw new Error(`nginx exited with ${server.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.kill("SIGTERM");
      await exited;
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}
