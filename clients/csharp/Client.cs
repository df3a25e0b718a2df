// A client of `mooer serve`: sends a recording and prints its text, or streams a WAV and prints what
// is said while it is said. .NET 8 or newer, or mono; no packages.
//
//   dotnet run -- transcribe talk.mp3 --format srt
//   dotnet run -- captions talk.wav --language zh
//
// With mono: mcs -r:System.Net.Http -r:System.Runtime.Serialization -r:System.Xml -r:System.Xml.Linq
// Client.cs, then mono Client.exe captions talk.wav

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using System.Xml;
using System.Xml.Linq;

/// <summary>What went wrong, in one sentence.</summary>
class Failure : Exception
{
    public Failure(string sentence) : base(sentence) { }
}

class Client
{
    const string Usage =
        "usage: client transcribe FILE [--url URL] [--key KEY] [--language LANGUAGE] [--format json|text|srt]\n" +
        "       client captions FILE.wav [--url URL] [--key KEY] [--language LANGUAGE] [--fast]";
    const string Gone = "the server went away before the end: its log may say why";

    string command, file, language, format = "text", url = "http://127.0.0.1:8000", key;
    bool fast;

    static int Main(string[] arguments)
    {
        var utf8 = new UTF8Encoding(false);
        Console.SetOut(new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true });
        Console.SetError(new StreamWriter(Console.OpenStandardError(), utf8) { AutoFlush = true });
        try
        {
            var client = new Client();
            if (!client.Read(arguments))
            {
                Console.Error.WriteLine(Usage);
                return 2;
            }
            (client.command == "captions" ? client.Captions() : client.Transcribe()).GetAwaiter().GetResult();
            return 0;
        }
        catch (Exception error)
        {
            Console.Error.WriteLine("error: " + error.Message);
            return 1;
        }
    }

    /// <summary>Whether the command line makes sense.</summary>
    bool Read(string[] arguments)
    {
        key = Environment.GetEnvironmentVariable("MOOER_API_KEY") ?? "";
        var names = new List<string>();
        for (int i = 0; i < arguments.Length; i++)
        {
            string one = arguments[i];
            if (one == "--fast") { fast = true; continue; }
            if (!one.StartsWith("--")) { names.Add(one); continue; }
            if (++i == arguments.Length) return false;
            switch (one)
            {
                case "--url": url = arguments[i]; break;
                case "--key": key = arguments[i]; break;
                case "--language": language = arguments[i]; break;
                case "--format": format = arguments[i]; break;
                default: return false;
            }
        }
        if (names.Count != 2 || (names[0] != "transcribe" && names[0] != "captions")) return false;
        if (format != "json" && format != "text" && format != "srt") return false;
        command = names[0];
        file = names[1];
        if (key.Any(letter => letter <= ' ' || letter > '~'))
            throw new Failure("a key has only visible ASCII letters: look at --key and MOOER_API_KEY");
        return true;
    }

    /// <summary>The address of something, over http or ws. A /v1 at the end of --url is left out.</summary>
    Uri Address(string scheme, string path)
    {
        string root = url.TrimEnd('/');
        if (root.EndsWith("/v1")) root = root.Substring(0, root.Length - 3).TrimEnd('/');
        Uri found;
        if (!(root.StartsWith("http://") || root.StartsWith("https://"))
            || !Uri.TryCreate(scheme + root.Substring(4) + path, UriKind.Absolute, out found))
            throw new Failure(url + " is no address of a server: write http://HOST:PORT");
        return found;
    }

    /// <summary>The body of an answer; a Failure with the server's sentence for any status but 200.</summary>
    async Task<string> Send(HttpMethod method, string path, HttpContent body = null)
    {
        using (var http = new HttpClient { Timeout = Timeout.InfiniteTimeSpan })
        using (var request = new HttpRequestMessage(method, Address("http", path)) { Content = body })
        {
            request.Headers.ExpectContinue = body != null;  // who is refused need not send it for nothing
            if (key != "") request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
            HttpResponseMessage answer;
            string text;
            try
            {
                answer = await http.SendAsync(request);
                text = Encoding.UTF8.GetString(await answer.Content.ReadAsByteArrayAsync());
            }
            catch (HttpRequestException error)
            {
                var reason = error.InnerException as WebException;  // of mono; .NET has the other
                bool isReached = !(error.InnerException is SocketException)
                    && (reason == null || (reason.Status != WebExceptionStatus.ConnectFailure
                        && reason.Status != WebExceptionStatus.NameResolutionFailure));
                throw new Failure(isReached ? Gone : "no server answers at " + url +
                    ": start one with `mooer serve`, or name another with --url");
            }
            if (answer.StatusCode == HttpStatusCode.OK) return text;
            string told = "";
            try { told = Text(Parse(text), "error", "message"); }
            catch (XmlException) { }  // not by our server, but a proxy before it
            if (told == "") told = "the server refused, without a reason";
            string more = answer.StatusCode == HttpStatusCode.Unauthorized ? " (--key or MOOER_API_KEY gives one)" : "";
            throw new Failure((int)answer.StatusCode + ": " + told + more);
        }
    }

    FileStream Open()
    {
        try
        {
            if (Directory.Exists(file)) throw new IOException("it is a folder");
            return File.OpenRead(file);
        }
        catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
        {
            string reason = error is FileNotFoundException || error is DirectoryNotFoundException
                ? "there is no such file" : error.Message;
            throw new Failure("cannot read " + file + ": " + reason);
        }
    }

    // --- a file to text

    async Task Transcribe()
    {
        using (var recording = Open())
        using (var form = new MultipartFormDataContent())
        {
            form.Add(new StringContent("whisper-1"), "model");
            form.Add(new StringContent(format), "response_format");
            if (language != null) form.Add(new StringContent(language), "language");
            string name = Path.GetFileName(file)  // as browsers write it into a form
                .Replace("\"", "%22").Replace("\r", "%0D").Replace("\n", "%0A");
            form.Add(new StreamContent(recording), "file", name);
            string text = await Send(HttpMethod.Post, "/v1/audio/transcriptions", form);
            Console.Write(text.EndsWith("\n") ? text : text + "\n");
        }
    }

    // --- a WAV as a stream

    async Task Captions()
    {
        using (var wav = new Wav(Open(), file))
        using (var socket = new ClientWebSocket())
        {
            if (key != "") socket.Options.SetRequestHeader("Authorization", "Bearer " + key);
            bool isOpen = false;
            try
            {
                await socket.ConnectAsync(Address("ws", "/v1/captions"), CancellationToken.None);
                isOpen = true;
            }
            catch (WebSocketException) { }
            if (!isOpen)
            {
                await Send(HttpMethod.Get, "/v1/models");  // why it refused is told over HTTP alone
                throw new Failure("the server opens no stream at " + url + ": a proxy may be in its way");
            }
            string more = language == null ? "" : ", \"language\": " + Quoted(language);
            await Put(socket, "{\"type\": \"start\", \"rate_hz\": " + wav.RateHz +
                ", \"channels\": " + wav.Channels + more + "}");
            await Follow(socket, wav);
        }
    }

    static Task Put(ClientWebSocket socket, string text)
    {
        return socket.SendAsync(new ArraySegment<byte>(Encoding.UTF8.GetBytes(text)),
            WebSocketMessageType.Text, true, CancellationToken.None);
    }

    /// <summary>Send the sound, a tenth of a second at a time; in real time unless --fast is given.</summary>
    async Task SendSound(ClientWebSocket socket, Wav wav)
    {
        var clock = Stopwatch.StartNew();
        try
        {
            for (int i = 1; socket.State == WebSocketState.Open; i++)
            {
                byte[] block = wav.Next();
                if (block.Length == 0)
                {
                    await Put(socket, "{\"type\": \"end\"}");
                    return;
                }
                await socket.SendAsync(new ArraySegment<byte>(block),
                    WebSocketMessageType.Binary, true, CancellationToken.None);
                var left = TimeSpan.FromMilliseconds(100 * i) - clock.Elapsed;
                if (!fast && left > TimeSpan.Zero) await Task.Delay(left);
            }
        }
        catch (Exception error) when (Breaks(error)) { }  // it has closed: what came last says why
    }

    static bool Breaks(Exception error)
    {
        return error is WebSocketException || error is IOException
            || error is InvalidOperationException || error is OperationCanceledException;
    }

    /// <summary>Print what comes until the server closes.</summary>
    async Task Follow(ClientWebSocket socket, Wav wav)
    {
        var screen = new Screen();
        string error = "";
        bool isDone = false;
        Task sending = null;
        XElement message;
        while ((message = await Receive(socket)) != null)
        {
            switch (Text(message, "type"))
            {
                case "ready": sending = SendSound(socket, wav); break;
                case "partial": screen.Partial(Text(message, "text")); break;
                case "final": screen.Final(message.Element("words")); break;
                case "said": screen.Said(message.Element("segment")); break;
                case "warning": Console.Error.WriteLine("warning: " + Text(message, "message")); break;
                case "error": error = Text(message, "error", "message"); break;
                case "done": isDone = true; break;
            }
        }
        screen.Clear();
        bool isClosed = socket.CloseStatus != null;
        string reason = error != "" ? error : socket.CloseStatusDescription ?? "";
        int code = isClosed ? (int)socket.CloseStatus : 0;
        if (isClosed && socket.State == WebSocketState.CloseReceived)
        {
            try { await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "", CancellationToken.None); }
            catch (Exception late) when (Breaks(late)) { }
        }
        if (sending != null && isDone) await sending;
        if (isDone) return;
        throw new Failure(isClosed && reason != "" ? code + ": " + reason : Gone);
    }

    /// <summary>The next message, put together; null when the other side has closed, or is gone.</summary>
    static async Task<XElement> Receive(ClientWebSocket socket)
    {
        var block = new ArraySegment<byte>(new byte[16384]);
        var data = new MemoryStream();
        while (true)
        {
            WebSocketReceiveResult got;
            try { got = await socket.ReceiveAsync(block, CancellationToken.None); }
            catch (Exception error) when (Breaks(error)) { return null; }
            if (got.MessageType == WebSocketMessageType.Close) return null;
            data.Write(block.Array, 0, got.Count);
            if (got.EndOfMessage) return Parse(Encoding.UTF8.GetString(data.ToArray()));
        }
    }

    // --- JSON, as .NET and mono both read it: a tree of elements

    static XElement Parse(string text)
    {
        var quotas = XmlDictionaryReaderQuotas.Max;
        using (var reader = JsonReaderWriterFactory.CreateJsonReader(Encoding.UTF8.GetBytes(text), quotas))
            return XElement.Load(reader);
    }

    /// <summary>The text at a path of names; empty where there is none.</summary>
    internal static string Text(XElement found, params string[] names)
    {
        foreach (string name in names) found = found == null ? null : found.Element(name);
        return found == null ? "" : found.Value;
    }

    static string Quoted(string text)
    {
        var found = new StringBuilder("\"");
        foreach (char letter in text)
        {
            if (letter == '"' || letter == '\\') found.Append('\\');
            if (letter < ' ') found.AppendFormat("\\u{0:x4}", (int)letter);
            else found.Append(letter);
        }
        return found.Append('"').ToString();
    }
}

/// <summary>On a terminal the words of the open sentence in place; sentences, each on its line, anywhere.</summary>
class Screen
{
    readonly bool isTerminal = !Console.IsOutputRedirected;
    readonly Queue<XElement> words = new Queue<XElement>();  // final, and of no sentence yet

    public void Partial(string text) { Show(Open() + text); }

    public void Final(XElement more)
    {
        foreach (XElement word in more.Elements()) words.Enqueue(word);
        Show(Open());
    }

    public void Said(XElement segment)
    {
        Clear();
        Console.WriteLine(Client.Text(segment, "text"));
        double end = (double)segment.Element("end_s");
        while (words.Count > 0 && (double)words.Peek().Element("start_s") < end) words.Dequeue();
    }

    public void Clear() { Show(""); }

    string Open() { return string.Concat(words.Select(word => Client.Text(word, "text"))); }

    void Show(string text)
    {
        if (isTerminal) Console.Write("\r\u001b[K" + text);
    }
}

/// <summary>Samples of a WAV of 16-bit samples, a tenth of a second at a time.</summary>
class Wav : IDisposable
{
    public readonly int RateHz, Channels;
    readonly BinaryReader reader;
    long numBytes = -1;

    public Wav(FileStream file, string name)
    {
        reader = new BinaryReader(file);
        byte[] head = reader.ReadBytes(12);
        bool isWav = head.Length == 12 && Name(head, 0) == "RIFF" && Name(head, 8) == "WAVE", isPcm16 = false;
        while (isWav && (head = reader.ReadBytes(8)).Length == 8)
        {
            long size = BitConverter.ToUInt32(head, 4);
            if (Name(head, 0) == "data")  // without a size where a pipe wrote it: to the end
            {
                numBytes = size == 0 || size >= 0xFFFFFF00 ? long.MaxValue : size;
                break;
            }
            long next = file.Position + size + size % 2;
            byte[] format = reader.ReadBytes(Name(head, 0) == "fmt " ? (int)Math.Min(size, 40) : 0);
            if (format.Length >= 16)
            {
                int code = BitConverter.ToUInt16(format, 0);
                bool isPcm = code == 1 || (code == 0xFFFE && format.Length >= 26 && format[24] == 1);
                isPcm16 = isPcm && BitConverter.ToUInt16(format, 14) == 16;
                Channels = BitConverter.ToUInt16(format, 2);
                RateHz = BitConverter.ToInt32(format, 4);
            }
            file.Position = next;
        }
        if (!isPcm16 || numBytes < 0 || RateHz <= 0 || Channels <= 0)
            throw new Failure(name + " is no WAV of 16-bit samples: `ffmpeg -i " + name +
                " -ar 16000 -ac 1 speech.wav` makes one");
    }

    /// <summary>Nothing at the end.</summary>
    public byte[] Next()
    {
        byte[] block = reader.ReadBytes((int)Math.Min(RateHz / 10 * 2 * Channels, numBytes));
        numBytes -= block.Length;
        return block;
    }

    public void Dispose() { reader.Dispose(); }

    static string Name(byte[] bytes, int at) { return Encoding.ASCII.GetString(bytes, at, 4); }
}
