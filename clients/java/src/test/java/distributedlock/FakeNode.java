package distributedlock;

import com.google.gson.JsonObject;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A node that speaks WebSocket and answers each type of frame as a test wants. */
final class FakeNode implements AutoCloseable {
    static final String GRANT =
            "{\"type\":\"granted\",\"id\":\"1\",\"acquired\":true,\"lockId\":\"kR3vT9qLkR3vT9qLkR3vT9qL\","
                    + "\"lockName\":\"x\",\"clientId\":\"c-1\",\"ownerId\":\"o-1\",\"requestId\":\"r-1\","
                    + "\"expiresAt\":\"2026-11-23T08:04:45.534Z\",\"ttlMs\":29999,\"fencingToken\":5,\"renewalToken\":\"t\","
                    + "\"waitTime\":0,\"autoRenew\":false,\"metadata\":null}";

    private static final Pattern KEY = Pattern.compile("(?i)Sec-WebSocket-Key: (\\S+)");
    private static final Pattern ID = Pattern.compile("\"id\":\\s*\"\\d+\"");

    /** What answers a frame. */
    interface Answerer {
        void answer(Peer peer, JsonObject frame) throws IOException;
    }

    private final ServerSocket server;
    private final Map<String, Answerer> answerers = new ConcurrentHashMap<>();
    private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
    private final AtomicInteger connections = new AtomicInteger();

    FakeNode() throws IOException {
        server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        on(
                "hello",
                (peer, f) -> peer.send(
                        "{\"type\":\"welcome\",\"id\":\"0\",\"session\":\"s\",\"heartbeat\":15,\"node\":\"n\","
                                + "\"resumed\":false,\"time\":\"" + Instant.now() + "\"}"));
        on(
                "release",
                (peer, f) -> peer.send(retold(
                        "{\"type\":\"released\",\"id\":\"1\",\"released\":true,\"lockName\":\"x\",\"heldFor\":1}", f)));
        on(
                "cancel",
                (peer, f) -> peer.send("{\"type\":\"error\",\"id\":\""
                        + f.get("target").getAsString() + "\",\"code\":\"cancelled\",\"status\":499}"));
        Thread t = new Thread(this::accept, "fake-node");
        t.setDaemon(true);
        t.start();
    }

    /** A frame of the vectors, as the answer to this one. */
    static String retold(String frame, JsonObject asked) {
        String id = "\"id\":\"" + asked.get("id").getAsString() + "\"";
        return ID.matcher(frame).replaceAll(Matcher.quoteReplacement(id));
    }

    void on(String type, Answerer a) {
        answerers.put(type, a);
    }

    String url() {
        return "http://127.0.0.1:" + server.getLocalPort();
    }

    DistributedLockClient client() {
        return DistributedLockClient.builder().endpoints(url()).clientId("c-1").build();
    }

    int connections() {
        return connections.get();
    }

    private void accept() {
        try {
            while (true) {
                Socket s = server.accept();
                sockets.add(s);
                Thread t = new Thread(() -> serve(s), "fake-node-peer");
                t.setDaemon(true);
                t.start();
            }
        } catch (IOException e) {
            return; // closed
        }
    }

    private void serve(Socket s) {
        try (s) {
            DataInputStream in = new DataInputStream(s.getInputStream());
            Matcher key = KEY.matcher(head(in));
            if (!key.find()) {
                return;
            }
            connections.incrementAndGet();
            Peer peer = new Peer(s);
            peer.out.write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            + "Sec-WebSocket-Protocol: distributed-lock.v1\r\nSec-WebSocket-Accept: "
                            + accepted(key.group(1))
                            + "\r\n\r\n")
                    .getBytes(StandardCharsets.US_ASCII));
            for (String text = frame(in); text != null; text = frame(in)) {
                JsonObject f = Json.object(text);
                Answerer a = answerers.get(Json.text(f, "type"));
                if (a != null) {
                    a.answer(peer, f);
                }
            }
        } catch (IOException e) {
            return; // the client, or the test, has gone
        } finally {
            sockets.remove(s);
        }
    }

    private static String head(DataInputStream in) throws IOException {
        StringBuilder head = new StringBuilder();
        while (head.indexOf("\r\n\r\n") < 0) {
            int b = in.read();
            if (b < 0) {
                throw new EOFException();
            }
            head.append((char) b);
        }
        return head.toString();
    }

    private static String accepted(String key) {
        try {
            byte[] text = (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").getBytes(StandardCharsets.US_ASCII);
            return Base64.getEncoder()
                    .encodeToString(MessageDigest.getInstance("SHA-1").digest(text));
        } catch (GeneralSecurityException e) {
            throw new AssertionError(e);
        }
    }

    /** The next text frame of a client; null at its close. */
    private static String frame(DataInputStream in) throws IOException {
        int opcode = in.readUnsignedByte() & 0x0f;
        int length = in.readUnsignedByte() & 0x7f;
        length = length == 126 ? in.readUnsignedShort() : length == 127 ? (int) in.readLong() : length;
        byte[] mask = in.readNBytes(4);
        byte[] text = in.readNBytes(length);
        for (int i = 0; i < text.length; i++) {
            text[i] ^= mask[i % 4];
        }
        return opcode == 8 ? null : new String(text, StandardCharsets.UTF_8);
    }

    @Override
    public void close() throws IOException {
        server.close();
        for (Socket s : sockets) {
            s.close();
        }
    }

    /** A client's end of a connection. */
    static final class Peer {
        private final Socket socket;
        private final OutputStream out;

        Peer(Socket socket) throws IOException {
            this.socket = socket;
            out = socket.getOutputStream();
        }

        /** Ends the connection without a word. */
        void cut() throws IOException {
            socket.close();
        }

        void send(String text) throws IOException {
            write(1, text.getBytes(StandardCharsets.UTF_8));
        }

        void close(int code) throws IOException {
            write(8, new byte[] {(byte) (code >> 8), (byte) code});
        }

        private synchronized void write(int opcode, byte[] payload) throws IOException {
            out.write(0x80 | opcode);
            if (payload.length < 126) {
                out.write(payload.length);
            } else {
                out.write(new byte[] {126, (byte) (payload.length >> 8), (byte) payload.length});
            }
            out.write(payload);
            out.flush();
        }
    }
}
