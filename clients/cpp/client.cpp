// A client of `mooer serve`: sends a recording and prints its text, or streams a WAV and prints
// what is said while it is said. C++17 and POSIX sockets, nothing else; therefore http, not https.
//
//   g++ -std=c++17 -pthread client.cpp -o client
//   ./client transcribe talk.mp3 --format srt
//   ./client captions talk.wav --language zh

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "json.hpp"
#include "net.hpp"
#include "websocket.hpp"

namespace {

const char USAGE[] =
    "usage: client transcribe FILE [--url URL] [--key KEY] [--language LANGUAGE] "
    "[--format json|text|srt]\n"
    "       client captions FILE.wav [--url URL] [--key KEY] [--language LANGUAGE] [--fast]";

struct Options {
    std::string command, file, language, format = "text";
    std::string url = "http://127.0.0.1:8000";
    std::string key;
    bool fast = false;
};

Options read_options(int argc, char **argv) {
    Options options;
    if (const char *key = std::getenv("MOOER_API_KEY")) options.key = key;
    std::vector<std::string> names;
    for (int i = 1; i < argc; ++i) {
        const std::string one = argv[i];
        std::string *value = one == "--url"        ? &options.url
                             : one == "--key"      ? &options.key
                             : one == "--language" ? &options.language
                             : one == "--format"   ? &options.format
                                                   : nullptr;
        if (value && i + 1 < argc) *value = argv[++i];
        else if (one == "--fast") options.fast = true;
        else if (!value && one.rfind("--", 0) != 0) names.push_back(one);
        else throw Usage();
    }
    if (names.size() != 2 || (names[0] != "transcribe" && names[0] != "captions")) throw Usage();
    if (options.format != "json" && options.format != "text" && options.format != "srt")
        throw Usage();
    options.command = names[0];
    options.file = names[1];
    for (unsigned char letter : options.key)
        if (letter <= ' ' || letter > '~')
            throw Failure("a key has only visible ASCII letters: look at --key and MOOER_API_KEY");
    return options;
}

std::ifstream open_file(const std::string &path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file || file.peek() == std::ifstream::traits_type::eof())  // so does a folder answer
        throw Failure("cannot read " + path + ": " +
                      (errno ? std::strerror(errno) : "there is nothing in it"));
    return file;
}

// --- a file to text

std::string field(const std::string &boundary, const std::string &name, const std::string &value) {
    return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" +
           value + "\r\n";
}

std::string file_name(const std::string &path) {  // as browsers write it into a form
    std::string name;
    for (char letter : path.substr(path.rfind('/') + 1))
        name += letter == '"' ? "%22" : letter == '\r' ? "%0D" : letter == '\n' ? "%0A"
                                                                               : std::string(1, letter);
    return name;
}

void transcribe(const Options &options, const Address &address) {
    std::ifstream file = open_file(options.file);
    const std::streamoff end = file.seekg(0, std::ios::end).tellg();
    if (end < 0) throw Failure("cannot read " + options.file + ": it is no plain file");
    const auto size = static_cast<std::uint64_t>(end);
    file.seekg(0);

    const std::string boundary = "mooer-" + hex(random_bytes(16));
    std::string before = field(boundary, "model", "whisper-1") +
                         field(boundary, "response_format", options.format);
    if (!options.language.empty()) before += field(boundary, "language", options.language);
    before += "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" +
              file_name(options.file) + "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    const std::string after = "\r\n--" + boundary + "--\r\n";

    Connection connection(address);
    // HTTP/1.0: the answer ends with the connection, and never comes in chunks.
    bool is_sent = connection.send_all(
        "POST " + address.path + "/v1/audio/transcriptions HTTP/1.0\r\nHost: " + address.host_port +
        "\r\n" + authorization(options.key) +
        "Content-Type: multipart/form-data; boundary=" + boundary + "\r\nContent-Length: " +
        std::to_string(before.size() + size + after.size()) + "\r\n\r\n" + before);
    std::vector<char> block(1 << 16);
    while (is_sent && file) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        is_sent = connection.send_all({block.data(), static_cast<std::size_t>(file.gcount())});
    }
    if (is_sent) connection.send_all(after);
    // Where sending failed the server has had enough, and says why.
    const Answer answer = connection.read_answer();
    const std::string body = connection.read_all();
    if (answer.status != 200) throw refused(answer.status, body);
    std::cout << body << (body.empty() || body.back() != '\n' ? "\n" : "") << std::flush;
}

// --- a WAV as a stream

struct Wav {
    std::ifstream file;  // at its samples
    std::uint64_t num_bytes = 0;
    int rate_hz = 0, channels = 0;
};

std::uint32_t number(const char *bytes, int size) {
    std::uint32_t value = 0;
    for (int i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

Wav open_wav(const std::string &path) {
    Wav wav{open_file(path)};
    char head[40] = {};
    wav.file.read(head, 12);
    bool is_good = wav.file && !std::memcmp(head, "RIFF", 4) && !std::memcmp(head + 8, "WAVE", 4);
    bool is_pcm16 = false;
    while (is_good && wav.file.read(head, 8)) {
        const std::string name(head, 4);
        const std::uint32_t size = number(head + 4, 4);
        if (name == "data") {
            wav.num_bytes = size;
            if (size == 0 || size >= 0xFFFFFF00u) wav.num_bytes = UINT64_MAX;  // from a pipe: to the end
            break;
        }
        const std::uint32_t taken = name == "fmt " ? std::min(size, 40u) : 0;
        wav.file.read(head, taken);
        if (taken >= 16) {
            const std::uint32_t code = number(head, 2);
            const bool is_pcm = code == 1 || (code == 0xFFFE && taken >= 26 && number(head + 24, 2) == 1);
            is_pcm16 = is_pcm && number(head + 14, 2) == 16;
            wav.channels = static_cast<int>(number(head + 2, 2));
            wav.rate_hz = static_cast<int>(number(head + 4, 4));
        }
        wav.file.seekg(static_cast<std::streamoff>(size) - taken + size % 2, std::ios::cur);
    }
    if (!is_good || !is_pcm16 || !wav.file || wav.num_bytes == 0 || wav.rate_hz <= 0)
        throw Failure(path + " is no WAV of 16-bit samples: `ffmpeg -i " + path +
                      " -ar 16000 -ac 1 speech.wav` makes one");
    return wav;
}

void send_sound(WebSocket &socket, Wav &wav, bool fast, const std::atomic<bool> &is_over) {
    const auto began = std::chrono::steady_clock::now();
    std::vector<char> block(static_cast<std::size_t>(wav.rate_hz / 10) * 2 * wav.channels);
    for (int i = 1; wav.num_bytes > 0 && wav.file && !is_over; ++i) {
        const auto wanted = std::min<std::uint64_t>(block.size(), wav.num_bytes);
        wav.file.read(block.data(), static_cast<std::streamsize>(wanted));
        const auto num = static_cast<std::size_t>(wav.file.gcount());
        wav.num_bytes -= num;
        if (num && !socket.send(WebSocket::BINARY, {block.data(), num})) return;
        if (!fast) std::this_thread::sleep_until(began + i * std::chrono::milliseconds(100));
    }
    socket.send(WebSocket::TEXT, R"({"type": "end"})");
}

// On a terminal the words of the open sentence in place; sentences, each on its line, anywhere.
class Screen {
  public:
    void partial(const std::string &text) const { show(open() + text); }

    void final(const Json &words) {
        for (const Json &word : words.items())
            words_.push_back({word["start_s"].number(), word["text"].text()});
        show(open());
    }

    void said(const Json &segment) {
        clear();
        std::cout << segment["text"].text() << std::endl;
        const double end_s = segment["end_s"].number();
        while (!words_.empty() && words_.front().start_s < end_s) words_.pop_front();
    }

    void clear() const { show(""); }

  private:
    struct Word {
        double start_s;
        std::string text;
    };

    std::string open() const {
        std::string text;
        for (const Word &word : words_) text += word.text;
        return text;
    }

    void show(const std::string &text) const {
        if (is_terminal_) std::cout << "\r\x1b[K" << text << std::flush;
    }

    const bool is_terminal_ = isatty(STDOUT_FILENO);
    std::deque<Word> words_;  // final, and of no sentence yet
};

// Read until the server closes. What an error said is the better reason than the code.
void follow(WebSocket &socket, std::thread &sender, Wav &wav, bool fast, std::atomic<bool> &is_over) {
    Screen screen;
    std::string error, text;
    bool is_done = false;
    while (socket.receive(text)) {
        const Json message = Json::parse(text);
        const std::string &type = message["type"].text();
        if (type == "ready" && !sender.joinable())
            sender = std::thread([&] { send_sound(socket, wav, fast, is_over); });
        else if (type == "partial") screen.partial(message["text"].text());
        else if (type == "final") screen.final(message["words"]);
        else if (type == "said") screen.said(message["segment"]);
        else if (type == "warning")
            std::cerr << "warning: " << message["message"].text() << std::endl;
        else if (type == "error") error = message["error"]["message"].text();
        else if (type == "done") is_done = true;
    }
    screen.clear();
    if (is_done) return;
    if (error.empty()) error = socket.close_reason();
    if (socket.close_code() && !error.empty())
        throw Failure(std::to_string(socket.close_code()) + ": " + error);
    throw Failure("the server went away before the end: its log may say why");
}

void captions(const Options &options, const Address &address) {
    Wav wav = open_wav(options.file);
    WebSocket socket(address, "/v1/captions", authorization(options.key));
    std::string start = R"({"type": "start", "rate_hz": )" + std::to_string(wav.rate_hz) +
                        R"(, "channels": )" + std::to_string(wav.channels);
    if (!options.language.empty()) start += R"(, "language": )" + quoted(options.language);
    socket.send(WebSocket::TEXT, start + "}");

    std::atomic<bool> is_over{false};
    std::thread sender;
    const auto end = [&] {
        is_over = true;
        socket.shut();  // whatever the sender waits for
        if (sender.joinable()) sender.join();
    };
    try {
        follow(socket, sender, wav, options.fast, is_over);
    } catch (...) {
        end();
        throw;
    }
    end();
}

}  // namespace

int main(int argc, char **argv) {
    try {
        const Options options = read_options(argc, argv);
        const Address address = Address::parse(options.url);
        (options.command == "captions" ? captions : transcribe)(options, address);
        return 0;
    } catch (const Usage &) {
        std::cerr << USAGE << std::endl;
        return 2;
    } catch (const std::exception &error) {
        std::cerr << "error: " << error.what() << std::endl;
        return 1;
    }
}
