/**
 * OpenSSH's sftp server behind a bad link: a script in ssh's place runs this file, which does to requests
 * what the file `faults` says. Requests are told apart by their type and by what their paths contain.
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TemporaryFolder } from "@imgtool/testkit";

export interface SftpFault {
  /** Of the packets of a request, as packetType has them. */
  readonly type: number;
  /** What the request's path contains. */
  readonly path: string;
  /** How many requests that match are left alone before. Default 0. */
  readonly after?: number;
  readonly failure: "once" | "cut" | "lost" | "always" | "slow";
}

export interface FaultySftp {
  /** What takes ssh's place. */
  readonly ssh: string;
  readonly setFault: (fault: SftpFault) => void;
}

/** A program in the place of ssh, without faults yet. */
export function faultySftp(folder: TemporaryFolder, server: string): FaultySftp {
  const [ssh, faults] = [folder.join("faulty-ssh"), folder.join("faults")];
  const words = [process.execPath, fileURLToPath(import.meta.url), server, faults].map((word) => `'${word}'`);
  writeFileSync(ssh, `#!/bin/sh\nexec ${words.join(" ")}\n`, { mode: 0o755 });
  return { ssh, setFault: (fault) => writeFileSync(faults, JSON.stringify(fault)) };
}

/** Passes packets between standard input and output and the server. */
function serve(program: string, faults: string): void {
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  let cutting: "cut" | "lost" | undefined;
  child.stdout.on("data", (bytes: Buffer) => {
    // the process ends when half of the answer is in the pipe
    if (cutting === undefined) process.stdout.write(bytes);
    else process.stdout.write(cutting === "cut" ? bytes.subarray(0, bytes.length >> 1) : "", () => process.exit(0));
  });
  child.once("close", () => process.exit(0));
  process.stdin.once("close", () => child.stdin.end());
  let waiting = Buffer.alloc(0);
  let matched = 0;
  process.stdin.on("data", (bytes: Buffer) => {
    waiting = Buffer.concat([waiting, bytes]);
    while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
      const packet = waiting.subarray(0, 4 + waiting.readUInt32BE(0));
      waiting = waiting.subarray(packet.length);
      const fault = existsSync(faults) ? (JSON.parse(readFileSync(faults, "utf8")) as SftpFault) : undefined;
      const failure =
        fault?.type === packet[4] && packet.includes(fault?.path ?? "") && matched++ >= (fault?.after ?? 0)
          ? fault?.failure
          : undefined;
      if (failure === "once") {
        rmSync(faults);
        process.exit(0);
      }
      if (failure === "cut" || failure === "lost") {
        rmSync(faults);
        cutting = failure;
      }
      if (failure === "always") process.stdout.write(refusal(packet));
      else if (failure !== "slow") child.stdin.write(packet);
    }
  });
}

/** SSH_FX_FAILURE as the answer to a request. */
function refusal(request: Buffer): Buffer {
  const answer = Buffer.alloc(4 + 1 + 4 + 4 + 4 + 4);
  answer.writeUInt32BE(answer.length - 4);
  answer[4] = 101;
  request.copy(answer, 5, 5, 9);
  answer.writeUInt32BE(4, 9);
  return answer;
}

const [, script, program, faults] = process.argv;
if (script === fileURLToPath(import.meta.url) && program !== undefined && faults !== undefined) serve(program, faults);
