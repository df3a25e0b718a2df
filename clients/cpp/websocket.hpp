// The client's side of a WebSocket (RFC 6455): handshake, masked frames, ping, close.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "net.hpp"

inline std::string base64(const std::string &bytes) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string found;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        std::uint32_t three = 0;
        for (std::size_t i = 0; i < 3; ++i)
            three = three << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0);
        for (std::size_t i = 0; i < 4; ++i)
            found += at + i > bytes.size() ? '=' : letters[three >> (18 - 6 * i) & 63];
    }
    return found;
}

// FIPS 180-4; the handshake wants it, secrets are not its business.
inline std::string sha1(std::string text) {
    const std::uint64_t num_bits = text.size() * 8;
    const auto rolled = [](std::uint32_t x, int by) { return x << by | x >> (32 - by); };
    text += '\x80';
    while (text.size() % 64 != 56) text += '\0';
    for (int i = 7; i >= 0; --i) text += static_cast<char>(num_bits >> 8 * i & 0xFF);
    std::uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    for (std::size_t at = 0; at < text.size(); at += 64) {
        std::uint32_t w[80];
        for (int i = 0; i < 80; ++i) {
            if (i >= 16) w[i] = rolled(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
            else {
                w[i] = 0;
                for (int j = 0; j < 4; ++j) w[i] = w[i] << 8 | static_cast<unsigned char>(text[at + 4 * i + j]);
            }
        }
        std::uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; ++i) {
            const std::uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                                    : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                                    : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                             : (b ^ c ^ d) + 0xCA62C1D6;
            const std::uint32_t next = rolled(a, 5) + f + e + w[i];
            e = d, d = c, c = rolled(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    std::string found;
    for (std::uint32_t one : h)
        for (int i = 3; i >= 0; --i) found += static_cast<char>(one >> 8 * i & 0xFF);
    return found;
}

class WebSocket {
  public:
    enum Kind : unsigned char { CONTINUED = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

    // Failure where there is no server, or it refuses.
    WebSocket(const Address &address, const std::string &path, const std::string &headers)
        : connection_(address) {
        const std::string key = base64(random_bytes(16));
        connection_.send_all("GET " + address.path + path + " HTTP/1.1\r\nHost: " + address.host_port +
                             "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " +
                             key + "\r\nSec-WebSocket-Version: 13\r\n" + headers + "\r\n");
        const Answer answer = connection_.read_answer();
        if (answer.status != 101) {
            std::string body;
            const std::string length = answer.header("content-length");
            if (length.empty() || !connection_.read_exactly(std::strtoul(length.c_str(), nullptr, 10), body))
                body = connection_.read_all();
            throw refused(answer.status, body);
        }
        if (answer.header("sec-websocket-accept") !=
            base64(sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
            throw Failure("what answers there speaks no WebSocket");
    }

    // One message in one frame, from any thread. False once the other side takes no more.
    bool send(Kind kind, std::string_view data) {
        std::string frame(1, static_cast<char>(0x80 | kind));
        const std::uint64_t size = data.size();
        const int num_more = size < 126 ? 0 : size < 65536 ? 2 : 8;
        const auto told = num_more == 0 ? static_cast<unsigned char>(size) : num_more == 2 ? 126 : 127;
        frame += static_cast<char>(0x80 | told);
        for (int i = num_more; i-- > 0;) frame += static_cast<char>(size >> 8 * i & 0xFF);
        const std::string mask = random_bytes(4);
        frame += mask;
        for (std::size_t i = 0; i < data.size(); ++i)
            frame += static_cast<char>(data[i] ^ mask[i % 4]);
        const std::lock_guard<std::mutex> lock(sending_);
        return connection_.send_all(frame);
    }

    // The next message, put together. False when the other side has closed, or is gone.
    bool receive(std::string &message) {
        message.clear();
        while (true) {
            std::string head, data;
            if (!connection_.read_exactly(2, head)) return false;
            const auto first = static_cast<unsigned char>(head[0]);
            const auto second = static_cast<unsigned char>(head[1]);
            std::uint64_t size = second & 127;
            if (size >= 126) {
                if (!connection_.read_exactly(size == 126 ? 2 : 8, data)) return false;
                size = 0;
                for (unsigned char byte : data) size = size << 8 | byte;
            }
            const bool is_control = first & 8;
            if ((first & 0x70) || (second & 0x80) || (is_control && (size > 125 || !(first & 0x80))) ||
                size > MAX_BYTES - message.size())
                throw Failure("the server sent what is no frame of a WebSocket");
            if (!connection_.read_exactly(size, data)) return false;
            switch (first & 15) {
                case PING: send(PONG, data); continue;
                case PONG: continue;
                case CLOSE: closed(data); return false;
                default: message += data;
            }
            if (first & 0x80) return true;
        }
    }

    int close_code() const { return code_; }  // 0: none came
    const std::string &close_reason() const { return reason_; }
    void shut() { connection_.shut(); }

  private:
    static constexpr std::uint64_t MAX_BYTES = 16 << 20;

    void closed(const std::string &data) {
        if (data.size() >= 2) {
            code_ = static_cast<unsigned char>(data[0]) << 8 | static_cast<unsigned char>(data[1]);
            reason_ = data.substr(2);
        }
        send(CLOSE, data.substr(0, 2));
    }

    Connection connection_;
    std::mutex sending_;
    int code_ = 0;
    std::string reason_;
};
