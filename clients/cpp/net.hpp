// Addresses, a TCP connection, and as much of HTTP as a client of one server needs.
#pragma once

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include "json.hpp"

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct Usage {};

struct Address {
    std::string url, host, port, host_port, path;

    // Of http://HOST[:PORT][/PATH]; a /v1 at its end, as OpenAI's clients want it, is left out.
    static Address parse(std::string url) {
        Address found{url, "", "80", "", ""};
        if (url.rfind("https://", 0) == 0)
            throw Failure("this client knows no TLS: give it an http address, or take another one");
        const bool is_http = url.rfind("http://", 0) == 0;
        url.erase(0, is_http ? 7 : url.size());
        const std::size_t slash = url.find('/');
        found.host_port = url.substr(0, slash);
        if (slash != std::string::npos) found.path = url.substr(slash);
        trim(found.path);
        if (found.path.size() >= 3 && found.path.substr(found.path.size() - 3) == "/v1")
            found.path.erase(found.path.size() - 3);
        trim(found.path);
        found.host = found.host_port;
        const std::size_t colon = found.host.rfind(':');
        const bool is_port = colon != std::string::npos && found.host.find(']', colon) == std::string::npos;
        if (is_port) {
            found.port = found.host.substr(colon + 1);
            found.host.erase(colon);
        }
        if (found.host.size() > 2 && found.host.front() == '[')  // IPv6
            found.host = found.host.substr(1, found.host.size() - 2);
        if (found.host.empty() || found.port.empty() ||
            found.url.find_first_of(" \t\r\n?#@") != std::string::npos)
            throw Failure(found.url + " is no address of a server: write http://HOST:PORT");
        return found;
    }

  private:
    static void trim(std::string &path) {
        while (!path.empty() && path.back() == '/') path.pop_back();
    }
};

inline std::string random_bytes(std::size_t num) {
    static thread_local std::random_device device;  // the system's own source
    std::string found;
    while (found.size() < num) {
        const auto value = device();
        for (int i = 0; i < 4 && found.size() < num; ++i)
            found += static_cast<char>(value >> 8 * i & 0xFF);
    }
    return found;
}

inline std::string hex(const std::string &bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string found;
    for (unsigned char byte : bytes) (found += digits[byte >> 4]) += digits[byte & 15];
    return found;
}

inline std::string authorization(const std::string &key) {
    return key.empty() ? "" : "Authorization: Bearer " + key + "\r\n";
}

// What a status other than the wanted one means, in the server's sentence where there is one.
inline Failure refused(int status, const std::string &body) {
    std::string text;
    try {
        text = Json::parse(body)["error"]["message"].text();
    } catch (const std::runtime_error &) {  // not by our server, but a proxy before it
    }
    if (text.empty()) text = "the server refused, without a reason";
    if (status == 401) text += " (--key or MOOER_API_KEY gives one)";
    return Failure(std::to_string(status) + ": " + text);
}

struct Answer {
    int status = 0;
    std::string headers;  // with names in lower case

    std::string header(const std::string &name) const {
        const std::size_t place = headers.find("\n" + name + ":");
        if (place == std::string::npos) return "";
        std::size_t begin = place + name.size() + 2;
        while (headers[begin] == ' ') ++begin;
        return headers.substr(begin, headers.find('\r', begin) - begin);
    }
};

class Connection {
  public:
    explicit Connection(const Address &address) {
        addrinfo hints{}, *found = nullptr;
        hints.ai_socktype = SOCK_STREAM;
        if (getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found) == 0) {
            for (addrinfo *one = found; one && socket_ < 0; one = one->ai_next) {
                socket_ = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
                if (socket_ >= 0 && connect(socket_, one->ai_addr, one->ai_addrlen) != 0) {
                    close(socket_);
                    socket_ = -1;
                }
            }
            freeaddrinfo(found);
        }
        if (socket_ < 0)
            throw Failure("no server answers at " + address.url +
                          ": start one with `mooer serve`, or name another with --url");
    }
    ~Connection() { close(socket_); }
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    // False once the other side takes no more.
    bool send_all(std::string_view data) {
        while (!data.empty()) {
            const ssize_t num = send(socket_, data.data(), data.size(), MSG_NOSIGNAL);
            if (num < 0 && errno == EINTR) continue;
            if (num <= 0) return false;
            data.remove_prefix(static_cast<std::size_t>(num));
        }
        return true;
    }

    // False where the stream ends before.
    bool read_exactly(std::size_t num, std::string &out) {
        while (buffer_.size() < num && fill()) {}
        if (buffer_.size() < num) return false;
        out = buffer_.substr(0, num);
        buffer_.erase(0, num);
        return true;
    }

    std::string read_all() {
        while (fill()) {}
        return std::move(buffer_);
    }

    // The head of an answer; what comes behind it is left to be read.
    Answer read_answer() {
        std::size_t end;
        while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
            if (buffer_.size() > 65536 || !fill())
                throw Failure("the server went away before the end: its log may say why");
        Answer answer;
        const std::string head = buffer_.substr(0, end + 2);
        buffer_.erase(0, end + 4);
        if (head.rfind("HTTP/1.", 0) != 0) throw Failure("what answers there is no HTTP server");
        answer.status = std::atoi(head.c_str() + 8);
        bool is_name = true;
        for (char letter : head.substr(head.find('\n'))) {
            if (letter == ':' || letter == '\n') is_name = letter == '\n';
            const bool is_capital = is_name && letter >= 'A' && letter <= 'Z';
            answer.headers += is_capital ? static_cast<char>(letter + 32) : letter;
        }
        return answer;
    }

    // Ends whatever waits for the other side.
    void shut() { shutdown(socket_, SHUT_RDWR); }

  private:
    bool fill() {
        char block[16384];
        ssize_t num;
        do num = recv(socket_, block, sizeof block, 0);
        while (num < 0 && errno == EINTR);
        if (num > 0) buffer_.append(block, static_cast<std::size_t>(num));
        return num > 0;
    }

    int socket_ = -1;
    std::string buffer_;
};
