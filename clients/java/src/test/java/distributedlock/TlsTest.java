package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The service behind something that speaks TLS, with a certificate of its own making. */
class TlsTest {
    private static final char[] PASSWORD = "for-a-test".toCharArray();

    @TempDir
    Path dir;

    @Test
    void tlsAndToken() throws Exception {
        String name = Service.name();
        URI service = URI.create(Service.url());
        SSLContext context = context(certificate());
        try (SSLServerSocket server = (SSLServerSocket)
                context.getServerSocketFactory().createServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            start(() -> {
                while (true) {
                    forward(server.accept(), new Socket(service.getHost(), service.getPort()));
                }
            });
            String url = "https://localhost:" + server.getLocalPort();
            trusted(url, context, name);
            try (DistributedLockClient c = new DistributedLockClient(url)) { // which does not trust that certificate
                LockOptions once = LockOptions.defaults().waitTimeout(Duration.ZERO);
                assertThrows(
                        LockServiceUnavailableException.class, () -> c.acquire(name, Duration.ofSeconds(30), once));
            }
        }
    }

    private static void trusted(String url, SSLContext context, String name) throws InterruptedException {
        try (DistributedLockClient c = DistributedLockClient.builder()
                .endpoints(url)
                .sslContext(context)
                .token(System.getenv("LOCKD_ADMIN_TOKEN"))
                .build()) {
            DistributedLock lock = c.acquire(name, 30);
            assertTrue(c.core().link.connection() != null, "over a WebSocket");
            assertEquals(
                    lock.getFencingToken(), c.forceRelease(name, "test").get(0).fencingToken());
            Service.eventually("lost", lock::isLost);
            assertThrows(LockLostException.class, lock::release);
        }
    }

    private Path certificate() throws IOException, InterruptedException {
        Path file = dir.resolve("test.p12");
        Path keytool = Path.of(System.getProperty("java.home"), "bin", "keytool");
        Process p = new ProcessBuilder(
                        keytool.toString(),
                        "-genkeypair",
                        "-keyalg",
                        "EC",
                        "-dname",
                        "CN=localhost",
                        "-ext",
                        "san=dns:localhost",
                        "-storetype",
                        "PKCS12",
                        "-keystore",
                        file.toString(),
                        "-storepass",
                        new String(PASSWORD),
                        "-alias",
                        "test")
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        assertTrue(p.waitFor(30, TimeUnit.SECONDS));
        assertEquals(0, p.exitValue());
        return file;
    }

    private static SSLContext context(Path file) throws IOException, GeneralSecurityException {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(file)) {
            keys.load(in, PASSWORD);
        }
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(keys, PASSWORD);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("test", keys.getCertificate("test"));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext c = SSLContext.getInstance("TLS");
        c.init(own.getKeyManagers(), trust.getTrustManagers(), null);
        return c;
    }

    private interface Step {
        void run() throws IOException;
    }

    private static void start(Step s) {
        Thread t = new Thread(() -> {
            try {
                s.run();
            } catch (IOException e) {
                return; // an end has closed
            }
        });
        t.setDaemon(true);
        t.start();
    }

    private static void forward(Socket a, Socket b) {
        start(() -> copy(a, b));
        start(() -> copy(b, a));
    }

    private static void copy(Socket from, Socket to) throws IOException {
        try {
            from.getInputStream().transferTo(to.getOutputStream());
        } finally {
            from.close();
            to.close();
        }
    }
}
