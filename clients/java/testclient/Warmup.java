import distributedlock.DistributedLockClient;
import distributedlock.UnauthorizedException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * Has the JVM load and start what a first call needs, which takes it some hundred milliseconds, before anybody looks at the
 * time: a call to a node that refuses it.
 */
final class Warmup {
    private static final byte[] REFUSAL = ("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n"
                    + "Content-Length: 0\r\nConnection: close\r\n\r\n")
            .getBytes(StandardCharsets.US_ASCII);

    private Warmup() {}

    static void run() throws IOException, InterruptedException {
        // How long the JDK's HTTP client may take to find that nobody has it any more, in ms; it takes no less.
        System.setProperty("jdk.internal.httpclient.selectorTimeout", "1000");
        try (ServerSocket node = new ServerSocket(0, 2, InetAddress.getLoopbackAddress())) {
            Thread serving = new Thread(() -> refuse(node));
            serving.start();
            try (DistributedLockClient c = new DistributedLockClient("http://127.0.0.1:" + node.getLocalPort())) {
                c.acquire("x", 30).release();
            } catch (UnauthorizedException e) {
                serving.join();
            }
        }
    }

    /** Refuses the WebSocket, and the question why. */
    private static void refuse(ServerSocket node) {
        for (int i = 0; i < 2; i++) {
            try (Socket s = node.accept()) {
                for (int line = 0, b = s.getInputStream().read();
                        line < 2 && b >= 0;
                        b = s.getInputStream().read()) {
                    line = b == '\n' ? line + 1 : b == '\r' ? line : 0;
                    if (line == 2) {
                        s.getOutputStream().write(REFUSAL);
                        break;
                    }
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
