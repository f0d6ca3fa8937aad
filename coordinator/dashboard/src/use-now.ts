import { useEffect, useState } from "react";

/** The time, once a second, on the coordinator's clock. */
export function useNow(clockAheadMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(Date.now());
    }, 1000);
    return () => {
      clearInterval(timer);
    };
  }, []);
  return now + clockAheadMs;
}
