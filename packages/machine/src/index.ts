/**
 * Runs images: in QEMU, in systemd-nspawn.
 * @module
 */
export { attachConsole, showConsole, type ConsoleStreams } from "./console.ts";
export {
  bootGuest,
  driveConsole,
  type CommandResult,
  type Guest,
  type GuestOptions,
  type WaitOptions,
} from "./guest.ts";
export { startMachine, type BootOptions, type MachineOptions, type RunningMachine } from "./start-machine.ts";
export type { MachineDisk } from "./virtual-machine.ts";
export { statusPort } from "./qemu-arguments.ts";
export { runContainer, type ContainerMode, type ContainerOptions } from "./container.ts";
export {
  announceMachine,
  findMachine,
  sshArguments,
  type AnnounceOptions,
  type ReachableMachine,
} from "./reachable.ts";
export type { SharedFolder } from "./shares.ts";
export type { ImagePartition, RunnableImage } from "./image.ts";
export { planMachine, type MachinePlan, type PlanOptions } from "./run-image.ts";
