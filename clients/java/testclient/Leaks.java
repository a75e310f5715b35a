/** What the process has under way. */
final class Leaks {
    private static final long MOST_NANOS = 2_000_000_000L;
    private static final int STABLE = 3;

    private Leaks() {}

    /**
     * Counts the threads, the JDK's too, when their number has settled. The thread of the JDK's HTTP client ends up to 3 s
     * after the garbage collector has found that nobody has the client.
     */
    static int count() throws InterruptedException {
        long end = System.nanoTime() + MOST_NANOS;
        int least = Integer.MAX_VALUE;
        for (int same = 0; same < STABLE && System.nanoTime() < end; ) {
            System.gc();
            Thread.sleep(20);
            int now = Thread.getAllStackTraces().size();
            same = now < least || http() ? 0 : same + 1;
            least = Math.min(least, now);
        }
        return Thread.getAllStackTraces().size();
    }

    private static boolean http() {
        return Thread.getAllStackTraces().keySet().stream()
                .anyMatch(t -> t.getName().endsWith("SelectorManager"));
    }
}
