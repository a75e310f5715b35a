package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** The examples, each as the program that it is. */
class ExamplesTest {
    @Test
    void leaderElection() throws Exception {
        assertEquals(List.of("node-1 leads", "node-2 follows node-1", "node-2 leads"), run("LeaderElection"));
    }

    @Test
    void mutualExclusion() throws Exception {
        assertEquals(List.of("20 of 20 worked, one at a time"), run("MutualExclusion"));
    }

    @Test
    void resourcePool() throws Exception {
        assertEquals(List.of("never more than five at once"), run("ResourcePool"));
    }

    @Test
    void fencingGuard() throws Exception {
        assertEquals(List.of("written: by the next", "refused: by the late one"), run("FencingGuard"));
    }

    @Test
    void stopOnLoss() throws Exception {
        List<String> said = run("StopOnLoss");
        assertEquals(1, said.size(), said::toString);
        assertTrue(said.get(0).startsWith("stopped: The lock \"batch\" is lost"), said::toString);
    }

    /** What an example prints, warnings of the log aside. */
    private static List<String> run(String example) throws IOException, InterruptedException {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Process p = new ProcessBuilder(
                        java.toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-XX:+UseSerialGC",
                        "-cp",
                        System.getProperty("java.class.path"),
                        example,
                        Service.url())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(p.waitFor(30, TimeUnit.SECONDS));
        assertEquals(0, p.exitValue());
        return said.lines().toList();
    }
}
