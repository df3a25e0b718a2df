import java.io.*;
import java.net.*;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.Collectors;

// A client of `mooer serve`: sends a recording and prints its text, or streams a WAV and prints what is
// said while it is said. Java 11 or newer, no library.
//
//   java Client.java transcribe talk.mp3 --format srt
//   java Client.java captions talk.wav --language zh
public class Client {
    static final String USAGE =
        "usage: java Client.java transcribe FILE [--url URL] [--key KEY] [--language LANGUAGE] [--format json|text|srt]\n"
            + "       java Client.java captions FILE.wav [--url URL] [--key KEY] [--language LANGUAGE] [--fast]";
    static final String GONE = "the server went away before the end: its log may say why";
    static final PrintStream OUT = utf8(FileDescriptor.out), ERR = utf8(FileDescriptor.err);

    /** What went wrong, in one sentence. */
    @SuppressWarnings("serial")
    static class Failure extends RuntimeException {
        Failure(String sentence) { super(sentence); }
    }

    String command, file, url, key, language, format;
    boolean fast;
    final HttpClient http = HttpClient.newBuilder()
        .version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();

    public static void main(String[] arguments) {
        int code = 1;
        try {
            Client client = new Client();
            code = !client.read(arguments) ? 2 : client.command.equals("captions") ? client.captions() : client.transcribe();
            if (code == 2) ERR.println(USAGE);
        } catch (Exception error) {
            ERR.println("error: " + (error instanceof Failure ? error.getMessage() : error));
        }
        System.exit(code);
    }

    /** Whether the command line makes sense. */
    boolean read(String[] arguments) {
        Map<String, String> values = new HashMap<>(Map.of("--url", "http://127.0.0.1:8000", "--language", "",
            "--format", "text", "--key", System.getenv().getOrDefault("MOOER_API_KEY", "")));
        List<String> names = new ArrayList<>();
        for (Iterator<String> left = Arrays.asList(arguments).iterator(); left.hasNext();) {
            String one = left.next();
            if (one.equals("--fast")) fast = true;
            else if (!one.startsWith("--")) names.add(one);
            else if (!values.containsKey(one) || !left.hasNext()) return false;
            else values.put(one, left.next());
        }
        url = values.get("--url");
        key = values.get("--key");
        language = values.get("--language");
        format = values.get("--format");
        if (names.size() != 2 || !List.of("json", "text", "srt").contains(format)) return false;
        command = names.get(0);
        file = names.get(1);
        if (!List.of("transcribe", "captions").contains(command)) return false;
        if (!key.matches("[!-~]*"))
            throw new Failure("a key has only visible ASCII letters: look at --key and MOOER_API_KEY");
        return true;
    }

    /** The address of something, over "http" or "ws". A /v1 at the end of --url is left out. */
    URI address(String scheme, String path) {
        String base = url.replaceFirst("/+$", "").replaceFirst("/v1$", "").replaceFirst("/+$", "");
        if (!base.matches("https?://[\\w.:\\[\\]-]+(/[\\w./~%-]*)?"))
            throw new Failure(url + " is no address of a server: write http://HOST:PORT");
        return URI.create(base.replaceFirst("^http", scheme) + path);
    }

    HttpRequest.Builder request(String path) {
        HttpRequest.Builder found = HttpRequest.newBuilder(address("http", path));
        return key.isEmpty() ? found : found.header("Authorization", "Bearer " + key);
    }

    /** The body of an answer; a Failure with the server's sentence for any status but 200. */
    String send(HttpRequest request) throws Exception {
        HttpResponse<String> answer;
        try {
            answer = http.send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
        } catch (ConnectException | HttpConnectTimeoutException error) {
            throw new Failure("no server answers at " + url
                + ": start one with `mooer serve`, or name another with --url");
        } catch (IOException error) {
            throw new Failure(GONE);
        }
        if (answer.statusCode() == 200) return answer.body();
        String text = "the server refused, without a reason";  // so may a proxy before it
        if (answer.body().startsWith("{")) text = Json.text(Json.parse(answer.body()), "error", "message");
        String more = answer.statusCode() == 401 ? " (--key or MOOER_API_KEY gives one)" : "";
        throw new Failure(answer.statusCode() + ": " + text + more);
    }

    /** A file that can be read; a Failure that says why it cannot. */
    Path open() {
        Path path = Path.of(file);
        String reason = !Files.exists(path) ? "there is no such file"
            : Files.isDirectory(path) ? "it is a folder"
            : !Files.isReadable(path) ? "it may not be read" : "";
        if (reason.isEmpty()) return path;
        throw new Failure("cannot read " + file + ": " + reason);
    }

    // --- a file to text

    int transcribe() throws Exception {
        Path path = open();
        String boundary = "mooer-" + UUID.randomUUID();
        String field = "--" + boundary + "\r\nContent-Disposition: form-data; name=";
        String fields = field + "model\r\n\r\nwhisper-1\r\n" + field + "response_format\r\n\r\n" + format + "\r\n";
        if (!language.isEmpty()) fields += field + "language\r\n\r\n" + language + "\r\n";
        String name = path.getFileName().toString()  // as browsers write it into a form
            .replace("\"", "%22").replace("\r", "%0D").replace("\n", "%0A");
        fields += field + "file; filename=\"" + name + "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
        InputStream before = new ByteArrayInputStream(fields.getBytes(StandardCharsets.UTF_8));
        InputStream after = new ByteArrayInputStream(("\r\n--" + boundary + "--\r\n").getBytes(StandardCharsets.UTF_8));
        long size = before.available() + Files.size(path) + after.available();
        String text;
        try (InputStream recording = Files.newInputStream(path)) {  // read while it is sent
            InputStream body = new SequenceInputStream(Collections.enumeration(List.of(before, recording, after)));
            text = send(request("/v1/audio/transcriptions")
                .header("Content-Type", "multipart/form-data; boundary=" + boundary)
                .POST(BodyPublishers.fromPublisher(BodyPublishers.ofInputStream(() -> body), size)).build());
        }
        OUT.print(text.endsWith("\n") ? text : text + "\n");
        OUT.flush();
        return 0;
    }

    // --- a WAV as a stream

    int captions() throws Exception {
        try (Wav wav = new Wav(open())) {
            Listener listener = new Listener();
            WebSocket.Builder builder = http.newWebSocketBuilder();
            if (!key.isEmpty()) builder.header("Authorization", "Bearer " + key);
            WebSocket socket;
            try {
                socket = builder.buildAsync(address("ws", "/v1/captions"), listener).join();
            } catch (CompletionException error) {
                send(request("/v1/models").build());  // why it refused is told over HTTP alone
                throw new Failure("the server opens no stream at " + url + ": a proxy may be in its way");
            }
            String start = "{\"type\": \"start\", \"rate_hz\": " + wav.rateHz + ", \"channels\": " + wav.channels;
            if (!language.isEmpty()) start += ", \"language\": " + Json.quoted(language);
            try {
                socket.sendText(start + "}", true).join();
                CompletableFuture.anyOf(listener.ready, listener.closed).join();
                send(wav, socket, listener);
            } catch (CompletionException error) { /* it has closed: the listener knows why */ }
            String failure = listener.closed.join();
            if (!failure.isEmpty()) throw new Failure(failure);
            return 0;
        }
    }

    void send(Wav wav, WebSocket socket, Listener listener) throws Exception {
        long began = System.nanoTime();
        for (int i = 1; !listener.closed.isDone(); i++) {
            byte[] block = wav.next();
            if (block.length == 0) {
                socket.sendText("{\"type\": \"end\"}", true).join();
                return;
            }
            socket.sendBinary(ByteBuffer.wrap(block), true).join();
            long left = began + i * 100_000_000L - System.nanoTime();
            if (!fast && left > 0) TimeUnit.NANOSECONDS.sleep(left);
        }
    }

    /** Prints what comes. `closed` gives what went wrong, or nothing. */
    static class Listener implements WebSocket.Listener {
        final CompletableFuture<String> ready = new CompletableFuture<>(), closed = new CompletableFuture<>();
        final StringBuilder parts = new StringBuilder();
        final Screen screen = new Screen();
        String error = "";
        boolean isDone;

        @Override public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            parts.append(data);
            if (last) {
                take(Json.parse(parts.toString()));
                parts.setLength(0);
            }
            socket.request(1);
            return null;
        }

        void take(Object message) {
            switch (Json.text(message, "type")) {
                case "ready": ready.complete(""); break;
                case "partial": screen.partial(Json.text(message, "text")); break;
                case "final": screen.last((List<?>) Json.at(message, "words")); break;
                case "said": screen.said(Json.at(message, "segment")); break;
                case "warning": ERR.println("warning: " + Json.text(message, "message")); break;
                case "error": error = Json.text(message, "error", "message"); break;
                case "done": isDone = true;
            }
        }

        @Override public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            String text = error.isEmpty() ? reason : error;  // the reason is cut, the message whole
            end(text.isEmpty() ? GONE : code + ": " + text);
            return null;
        }
        @Override public void onError(WebSocket socket, Throwable problem) { end(GONE); }

        void end(String failure) {
            screen.clear();
            closed.complete(isDone ? "" : failure);
        }
    }

    /** On a terminal the words of the open sentence in place; sentences, each on its line, anywhere. */
    static class Screen {
        final boolean isTerminal = isTerminal();
        final Deque<Object> words = new ArrayDeque<>();  // final, and of no sentence yet

        void partial(String text) { show(open() + text); }

        void last(List<?> more) {
            words.addAll(more);
            show(open());
        }

        void said(Object segment) {
            clear();
            OUT.println(Json.text(segment, "text"));
            double end = Json.number(segment, "end_s");
            while (!words.isEmpty() && Json.number(words.peek(), "start_s") < end) words.remove();
        }

        void clear() { show(""); }

        String open() {
            return words.stream().map(word -> Json.text(word, "text")).collect(Collectors.joining());
        }

        void show(String text) {
            if (!isTerminal) return;
            OUT.print("\r\u001b[K" + text);
            OUT.flush();
        }

        static boolean isTerminal() {
            try {  // since Java 22 there is a console also where there is no terminal
                return (Boolean) Console.class.getMethod("isTerminal").invoke(System.console());
            } catch (ReflectiveOperationException | NullPointerException older) {
                return System.console() != null;
            }
        }
    }

    /** Samples of a WAV of 16-bit samples, a tenth of a second at a time. */
    static class Wav implements Closeable {
        int rateHz, channels;
        private long numBytes = -1;
        private final InputStream in;

        Wav(Path path) throws IOException {
            in = new BufferedInputStream(Files.newInputStream(path), 1 << 16);
            ByteBuffer head = take(12);
            boolean isWav = head.remaining() == 12 && head.getInt(0) == 0x46464952 && head.getInt(8) == 0x45564157;
            boolean isPcm16 = false;
            while (isWav && numBytes < 0 && (head = take(8)).remaining() == 8) {
                int name = head.getInt(0);
                long size = head.getInt(4) & 0xFFFFFFFFL;
                if (name == 0x61746164) {  // "data"; without a size where a pipe wrote it: to the end
                    numBytes = size == 0 || size >= 0xFFFFFF00L ? Long.MAX_VALUE : size;
                    break;
                }
                ByteBuffer format = take(name == 0x20746d66 ? (int) Math.min(size, 40) : 0);  // "fmt "
                if (format.remaining() >= 16) {
                    int code = format.getShort(0) & 0xFFFF;
                    boolean isPcm = code == 1 || code == 0xFFFE && format.remaining() >= 26 && format.getShort(24) == 1;
                    isPcm16 = isPcm && format.getShort(14) == 16;
                    channels = format.getShort(2);
                    rateHz = format.getInt(4);
                }
                for (long left = size + size % 2 - format.remaining(); left > 0; left--)
                    if (in.read() < 0) break;
            }
            if (!isPcm16 || numBytes < 0 || rateHz <= 0 || channels <= 0)
                throw new Failure(path + " is no WAV of 16-bit samples: `ffmpeg -i " + path
                    + " -ar 16000 -ac 1 speech.wav` makes one");
        }

        byte[] next() throws IOException {
            byte[] block = in.readNBytes((int) Math.min(rateHz / 10 * 2 * channels, numBytes));
            numBytes -= block.length;
            return block;
        }

        private ByteBuffer take(int num) throws IOException {
            return ByteBuffer.wrap(in.readNBytes(num)).order(ByteOrder.LITTLE_ENDIAN);
        }

        @Override public void close() throws IOException { in.close(); }
    }

    /** JSON as maps, lists and strings, numbers among them. What is not there is empty. */
    static class Json {
        private final String text;
        private int at;

        private Json(String text) { this.text = text; }

        static Object parse(String text) {
            try {
                return new Json(text).value(0);
            } catch (IndexOutOfBoundsException | IllegalArgumentException error) {
                throw new Failure("the server sent no JSON");
            }
        }

        static Object at(Object found, String... keys) {
            for (String key : keys) found = found instanceof Map ? ((Map<?, ?>) found).get(key) : null;
            return found;
        }

        static String text(Object found, String... keys) { return Objects.toString(at(found, keys), ""); }

        static double number(Object found, String key) { return Double.parseDouble(text(found, key)); }

        static String quoted(String text) {
            StringBuilder found = new StringBuilder("\"");
            for (char letter : text.toCharArray()) {
                if (letter == '"' || letter == '\\') found.append('\\');
                found.append(letter < ' ' ? String.format("\\u%04x", (int) letter) : letter);
            }
            return found.append('"').toString();
        }

        private boolean take(char wanted) {
            while (Character.isWhitespace(text.charAt(at))) at++;
            if (text.charAt(at) == wanted) at++; else return false;
            return true;
        }

        private void need(boolean isThere) { if (!isThere) throw new IllegalArgumentException(); }

        private Object value(int depth) {
            need(depth < 100);
            if (take('"')) return string();
            if (take('{')) {
                Map<String, Object> members = new HashMap<>();
                if (take('}')) return members;
                do {
                    need(take('"'));
                    String key = string();
                    need(take(':'));
                    members.put(key, value(depth + 1));
                } while (take(','));
                need(take('}'));
                return members;
            }
            if (take('[')) {
                List<Object> items = new ArrayList<>();
                if (take(']')) return items;
                do items.add(value(depth + 1)); while (take(','));
                need(take(']'));
                return items;
            }
            int begin = at;  // a number, true, false or null
            while (",]} \t\r\n".indexOf(text.charAt(at)) < 0) at++;
            need(at > begin);
            return text.substring(begin, at);
        }

        private String string() {  // behind its first quote
            StringBuilder found = new StringBuilder();
            for (char letter; (letter = text.charAt(at++)) != '"';) {
                if (letter != '\\') { found.append(letter); continue; }
                letter = text.charAt(at++);
                int place = "\"\\/bfnrt".indexOf(letter);
                if (place >= 0) { found.append("\"\\/\b\f\n\r\t".charAt(place)); continue; }
                need(letter == 'u');
                found.append((char) Integer.parseInt(text.substring(at, at += 4), 16));
            }
            return found.toString();
        }
    }

    static PrintStream utf8(FileDescriptor where) {
        return new PrintStream(new FileOutputStream(where), true, StandardCharsets.UTF_8);
    }
}
