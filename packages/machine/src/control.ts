/**
 * QEMU's control socket: lines of JSON, of which imgtool sends one command.
 * https://www.qemu.org/docs/master/interop/qmp-spec.html
 * @module
 */
import { connect } from "node:net";
import { createInterface } from "node:readline";

/** Presses the machine's power button; resolves when QEMU has said that it did. */
export async function pressPowerButton(socketPath: string): Promise<void> {
  const socket = connect(socketPath);
  try {
    const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
    // Errors of the socket end the lines; this keeps them from being nobody's.
    socket.on("error", () => socket.destroy());
    await answers.next();
    for (const execute of ["qmp_capabilities", "system_powerdown"]) {
      socket.write(`${JSON.stringify({ execute })}\n`);
      await answers.next();
    }
  } finally {
    socket.destroy();
  }
}
