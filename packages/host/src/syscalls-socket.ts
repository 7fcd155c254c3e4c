/**
 * Descriptors that another process hands over a socket (SCM_RIGHTS, unix(7)), which Node.js cannot receive.
 * @module
 */
import { foreign, lastErrno, SystemCallError, systemCall } from "./libc.ts";

const callSocketPair = systemCall("socketpair", "int socketpair(int domain, int type, int protocol, void *sockets)");
const [unix, stream, closeOnExec] = [1, 1, 0o2_000_000];
const [doNotWait, receivedCloseOnExec] = [0x40, 0x4000_0000];

// struct msghdr of 64-bit Linux, recvmsg(2)
const callReceive = foreign("intptr_t recvmsg(int fd, _Inout_ imgtool_msghdr *message, int flags)", (koffi) => {
  koffi.struct("imgtool_iovec", { base: "void *", length: "size_t" });
  koffi.struct("imgtool_msghdr", {
    name: "void *",
    nameLength: "uint32_t",
    vectors: "imgtool_iovec *",
    vectorCount: "size_t",
    control: "void *",
    controlLength: "size_t",
    flags: "int",
  });
});

/** Two connected Unix sockets, which a child gets only where it is given them. */
export function socketPair(): readonly [number, number] {
  const sockets = Buffer.allocUnsafeSlow(8);
  callSocketPair(undefined, unix, stream | closeOnExec, 0, sockets);
  return [sockets.readInt32LE(0), sockets.readInt32LE(4)];
}

/** Bytes of a control message with one descriptor: its head, and the descriptor with what aligns it. */
const [headLength, controlLength] = [16, 24];
const [socketLevel, rights] = [1, 1];

/**
 * The descriptor that has arrived with a message; undefined when there is no message, or none with it.
 * Does not wait.
 * @throws SystemCallError
 */
export function receiveDescriptor(socket: number): number | undefined {
  const data = Buffer.allocUnsafeSlow(1);
  const control = Buffer.allocUnsafeSlow(controlLength);
  control.fill(0);
  const message = {
    name: null,
    nameLength: 0,
    vectors: { base: data, length: data.length },
    vectorCount: 1,
    control,
    controlLength,
    flags: 0,
  };
  while (callReceive(socket, message, doNotWait | receivedCloseOnExec) === -1) {
    const error = new SystemCallError(lastErrno(), "recvmsg");
    if (error.code === "EAGAIN") return undefined;
    if (error.code !== "EINTR") throw error;
  }
  const isDescriptor =
    control.readUInt32LE(0) === headLength + 4 &&
    control.readInt32LE(8) === socketLevel &&
    control.readInt32LE(12) === rights;
  return isDescriptor ? control.readInt32LE(headLength) : undefined;
}
