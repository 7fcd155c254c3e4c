/**
 * QEMU's control socket: lines of JSON, of which imgtool sends few.
 * https://www.qemu.org/docs/master/interop/qmp-spec.html
 * @module
 */
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

type Command = readonly [execute: string, parameters?: Readonly<Record<string, string>>];

/** Presses the machine's power button; resolves when QEMU has said that it did. */
export async function pressPowerButton(socketPath: string): Promise<void> {
  await command(socketPath, ["system_powerdown"], 0);
}

/** What QEMU's monitor for people answers; "" where QEMU is gone. */
export async function askMonitor(socketPath: string, line: string): Promise<string> {
  const answer = await command(socketPath, ["human-monitor-command", { "command-line": line }], patience);
  return typeof answer === "string" ? answer : "";
}

/** Milliseconds within which QEMU opens its socket, and between two tries. */
const patience = 10_000;
const interval = 20;

async function command(socketPath: string, [execute, parameters]: Command, waits: number): Promise<unknown> {
  const limit = performance.now() + waits;
  for (;;) {
    const socket = connect(socketPath);
    // Errors of the socket end the lines; this keeps them from being nobody's.
    socket.on("error", () => socket.destroy());
    try {
      await once(socket, "connect");
      const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
      await answers.next();
      for (const one of [{ execute: "qmp_capabilities" }, { execute, arguments: parameters }]) {
        socket.write(`${JSON.stringify(one)}\n`);
        for (;;) {
          const { value, done } = await answers.next();
          if (done === true) return undefined;
          const answer = JSON.parse(value) as Readonly<Record<string, unknown>>;
          // What happens in between is told, too.
          if (answer["event"] !== undefined) continue;
          if (one.execute === execute) return answer["return"];
          break;
        }
      }
      return undefined;
    } catch (error) {
      // QEMU has just been started.
      if (performance.now() > limit || !("code" in Object(error))) return undefined;
      await sleep(interval, undefined, { ref: false });
    } finally {
      socket.destroy();
    }
  }
}
