/**
 * ProFTPD on loopback, with a configuration of its own: it touches nothing of the system's. Files are those
 * of this machine, from its root on. Each connection gets a process, as from inetd: a standalone server
 * sleeps for 0.4 s whenever a connection ends.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { userInfo } from "node:os";
import { findProgram } from "../needs.ts";
import { run } from "../run.ts";
import { temporaryFolder } from "../temporary.ts";

export interface FtpServer {
  readonly port: number;
  /** Of the user `tester`. */
  readonly password: string;
  /** The authority of the server's certificate, which is for `localhost`, in PEM form. */
  readonly authority: string;
  /** The commands that the server was sent. */
  commands(): readonly string[];
  close(): Promise<void>;
}

export interface FtpServerOptions {
  /** Lines of the configuration, in addition. */
  readonly lines?: readonly string[];
  readonly tls?: boolean;
}

export async function startProftpd({ lines = [], tls = false }: FtpServerOptions = {}): Promise<FtpServer> {
  const folder = temporaryFolder();
  const children = new Set<ChildProcess>();
  const program = findProgram("proftpd") ?? "proftpd";
  const output = process.env["FTP_DEBUG"] === undefined ? "ignore" : "inherit";
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const password = "pass word:@/";
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const hash = run("openssl", ["passwd", "-6", password]).trim();
  writeFileSync(folder.join("passwd"), `tester:${hash}:${uid}:${gid}::${folder.path}:/bin/sh\n`, { mode: 0o600 });
  writeFileSync(folder.join("group"), `testers:x:${gid}:tester\n`, { mode: 0o600 });
  if (tls) makeCertificate(folder.path);
  const configuration = [
    "ServerType inetd",
    "DefaultAddress 127.0.0.1",
    "DefaultServer on",
    "ControlsEngine off",
    `Port ${port}`,
    "UseIPv6 off",
    "UseReverseDNS off",
    "ScoreboardFile none",
    `DelayTable none`,
    `SystemLog ${folder.join("system.log")}`,
    "WtmpLog off",
    `TransferLog none`,
    'LogFormat commands "%r"',
    `ExtendedLog ${folder.join("commands.log")} ALL commands`,
    `User ${userInfo().username}`,
    `Group ${run("id", ["-gn"]).trim()}`,
    "RootLogin on",
    "RequireValidShell off",
    "AuthOrder mod_auth_file.c",
    `AuthUserFile ${folder.join("passwd")}`,
    `AuthGroupFile ${folder.join("group")}`,
    "AllowOverwrite on",
    "Umask 022",
    ...(tls
      ? [
          "LoadModule mod_tls.c",
          "TLSEngine on",
          "TLSRequired on",
          `TLSLog ${folder.join("tls.log")}`,
          `TLSRSACertificateFile ${folder.join("server.pem")}`,
          `TLSRSACertificateKeyFile ${folder.join("server.key")}`,
        ]
      : []),
    ...lines,
  ];
  writeFileSync(folder.join("proftpd.conf"), `${configuration.join("\n")}\n`);
  server.on("connection", (socket) => {
    const child = spawn(program, ["--config", folder.join("proftpd.conf")], { stdio: [socket, socket, output] });
    children.add(child);
    child.once("exit", () => children.delete(child));
    // the child has it now
    socket.destroy();
  });
  return {
    port,
    password,
    authority: tls ? readFileSync(folder.join("server.pem"), "utf8") : "",
    commands: () => readFileSync(folder.join("commands.log"), "utf8").trim().split("\n"),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const child of children) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await ended;
      }
      await closed;
      folder[Symbol.dispose]();
    },
  };
}

/** Of its own authority, for `localhost`. */
function makeCertificate(folder: string): void {
  const key = `-newkey rsa:2048 -nodes -keyout ${folder}/server.key`;
  const certificate = `-x509 -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -out ${folder}/server.pem`;
  run("openssl", `req ${key} ${certificate}`.split(" "));
}
