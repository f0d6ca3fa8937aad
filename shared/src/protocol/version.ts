/** Raised with every change that an older peer would misread. */
export const PROTOCOL_VERSION = 4;
