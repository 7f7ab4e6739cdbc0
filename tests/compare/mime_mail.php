<?php
// Mails made by formats/mime_mail against those of WordPress' own wp_mail()
// and PHPMailer, from the same input: both are taken apart by one reader (this
// file), and headers, envelope, parts, names and contents must be equal.
// WordPress is WORDPRESS_DIR (/usr/share/wordpress).

require __DIR__ . '/common.php';

$wordpress = getenv('WORDPRESS_DIR') ?: '/usr/share/wordpress';
define('ABSPATH', "$wordpress/");
define('WPINC', 'wp-includes');

// ---- what wp_mail() needs of WordPress ------------------------------------

function apply_filters($_, $value) { return $value; }
function do_action() { }
function do_action_ref_array() { }
function network_home_url() { return 'http://www.site.test/'; }
function get_bloginfo() { return 'UTF-8'; }
function wp_parse_url($url, $part) { return parse_url($url, $part); }
class WP_Error
{
	public function __construct(public string $code, public string $message) { }
}

// A function of a file, without the rest of the file.
function take(string $file, string $name): void
{
	$source = file_get_contents($file);
	if (!preg_match("/^(\t*)function $name\(.*?^\\1}$/ms", $source, $m)) {
		fwrite(STDERR, "$file: no $name()\n");
		exit(1);
	}
	eval($m[0]);
}

require ABSPATH . WPINC . '/PHPMailer/PHPMailer.php';
require ABSPATH . WPINC . '/PHPMailer/SMTP.php';
require ABSPATH . WPINC . '/PHPMailer/Exception.php';
take(ABSPATH . WPINC . '/formatting.php', 'is_email');
take(ABSPATH . WPINC . '/pluggable.php', 'wp_mail');

class Caught extends PHPMailer\PHPMailer\PHPMailer
{
	public $alternative = '';
	public $files = [];
	public $bytes = null;

	public function preSend()
	{
		$this->Mailer = 'smtp';
		$this->AltBody = $this->alternative;
		foreach ($this->files as [$name, $type, $bytes])
			$this->addStringAttachment($bytes, $name, 'base64', $type);
		return parent::preSend();
	}

	public function postSend()
	{
		$this->bytes = $this->getSentMIMEMessage();
		return true;
	}
}

// [bytes, sender, [recipient]] or null.
function by_php(array $c): ?array
{
	global $phpmailer;
	$phpmailer = new Caught(true);
	$phpmailer::$validator = static fn($email) => (bool)is_email($email);
	$phpmailer->alternative = $c['alternative'];
	$phpmailer->files = $c['files'];
	wp_mail($c['to'], $c['subject'], $c['body'], $c['headers']);
	if ($phpmailer->bytes === null)
		return null;
	return [$phpmailer->bytes, $phpmailer->From,
	    array_column(array_merge($phpmailer->getToAddresses(),
		$phpmailer->getCcAddresses(), $phpmailer->getBccAddresses()), 0)];
}

// ---- taking a mail apart --------------------------------------------------

function decode_words(string $s): string
{
	// Blanks between two encoded words go (RFC 2047 6.2).
	$s = preg_replace('/(=\?[^?]+\?[BQ]\?[^?]*\?=)\s+(?==\?)/i', '$1', $s);
	return preg_replace_callback('/=\?([^?]+)\?([BQ])\?([^?]*)\?=/i',
	    fn($m) => strtoupper($m[2]) === 'B' ? base64_decode($m[3]) :
		quoted_printable_decode(str_replace('_', ' ', $m[3])), $s);
}

// "text/plain; a=b; c*0*=..." -> [value, [name => value]]
function parameters(string $s): array
{
	$n = preg_match_all('/;\s*([^=;\s]+)\s*=\s*("(?:[^"\\\\]|\\\\.)*"|[^;]*)/s',
	    $s, $m, PREG_SET_ORDER);
	$plain = $extended = [];
	foreach ($m as [, $name, $value]) {
		$value = trim($value);
		if ($value !== '' && $value[0] === '"')
			$value = stripslashes(substr($value, 1, -1));
		if (preg_match('/^(.*?)\*(\d+)?\*?$/', $name, $x)) {
			$extended[strtolower($x[1])] =
			    ($extended[strtolower($x[1])] ?? '') . $value;
		} else {
			$plain[strtolower($name)] = decode_words($value);
		}
	}
	foreach ($extended as $name => $value)
		$plain[$name] = rawurldecode(preg_replace("/^[^']*'[^']*'/", '', $value));
	return [strtolower(trim(strtok($s, ';'))), $plain];
}

// Names and addresses, as a reader shows them.
function mailboxes(string $s): array
{
	$out = [];
	preg_match_all('/(?:"(?:[^"\\\\]|\\\\.)*"|[^,"])+/', $s, $m);
	foreach ($m[0] as $one) {
		$one = trim($one);
		$name = '';
		if (preg_match('/^(.*)<(.*)>$/s', $one, $x))
			[, $name, $one] = $x;
		$name = trim(decode_words(trim($name)));
		if ($name !== '' && $name[0] === '"')
			$name = stripslashes(substr($name, 1, -1));
		$out[] = [str_replace('"', '', $name), $one];
	}
	return $out;
}

function lines(string $s): string
{
	return rtrim(str_replace(["\r\n", "\r"], "\n", $s), "\n");
}

// [headers, body], headers unfolded, names in lower case.
function split(string $bytes): array
{
	[$head, $body] = explode("\r\n\r\n", $bytes, 2) + [1 => ''];
	$headers = [];
	foreach (explode("\r\n", preg_replace('/\r\n(?=[ \t])/', '', $head)) as $line) {
		[$name, $value] = explode(':', $line, 2) + [1 => ''];
		$headers[strtolower($name)][] = trim($value);
	}
	return [$headers, $body];
}

function part(array $headers, string $body): array
{
	[$type, $p] = parameters($headers['content-type'][0] ?? 'text/plain');
	if (str_starts_with($type, 'multipart/')) {
		$pieces = explode("\r\n--{$p['boundary']}", "\r\n$body");
		$parts = [];
		foreach (array_slice($pieces, 1) as $piece) {
			if (str_starts_with($piece, '--'))
				break;
			$parts[] = part(...split(substr($piece, 2)));
		}
		return [$type, $parts];
	}
	switch (strtolower($headers['content-transfer-encoding'][0] ?? '7bit')) {
	case 'base64':
		$body = base64_decode($body);
		break;
	case 'quoted-printable':
		$body = quoted_printable_decode($body);
		break;
	}
	[$disposition, $q] = parameters($headers['content-disposition'][0] ?? '');
	if ($disposition === 'attachment')
		return [$type, $q['filename'] ?? '', md5($body), strlen($body)];
	// us-ascii is said of parts that are, by one of the two.
	$charset = strtolower($p['charset'] ?? '');
	return [$type, preg_match('/[\x80-\xff]/', $body) ? $charset : '',
	    lines($body)];
}

function apart(string $bytes, bool $is_injected): array
{
	[$headers, $body] = split($bytes);
	$out = ['part' => part($headers, $body)];
	foreach ($headers as $name => $values) {
		if (in_array($name, ['x-mailer', 'message-id', 'date', 'mime-version']) ||
		    str_starts_with($name, 'content-'))
			continue;
		if (in_array($name, ['to', 'cc', 'from', 'reply-to'], true))
			$values = array_merge(...array_map('mailboxes', $values));
		else
			$values = array_map(fn($v) => decode_words($v), $values);
		// Line breaks become a blank here, nothing there; other controls
		// go here, and stay there.
		if ($is_injected)
			array_walk_recursive($values, function (&$v) {
				$v = preg_replace('/[\x00-\x20]/', '', $v);
			});
		$out[$name] = $values;
	}
	ksort($out);
	return $out;
}

// What every mail must keep to.
function faults(string $bytes): array
{
	$faults = [];
	if (preg_match('/(?<!\r)\n|\r(?!\n)|\0/', $bytes))
		$faults[] = 'a bare CR or LF, or a NUL';
	foreach (explode("\r\n", $bytes) as $line)
		if (strlen($line) > 998)
			$faults[] = 'a line of ' . strlen($line);
	[$head] = explode("\r\n\r\n", $bytes, 2);
	if (preg_match('/[\x80-\xff]/', $head))
		$faults[] = 'a head that is not ASCII';
	preg_match_all('/=\?[^?\s]+\?[BQ]\?[^?\s]*\?=/i', $head, $m);
	foreach ($m[0] as $word) {
		if (strlen($word) > 75)
			$faults[] = 'an encoded word of ' . strlen($word);
		if (!mb_check_encoding(decode_words($word), 'UTF-8'))
			$faults[] = 'an encoded word that cuts a character';
	}
	if (stripos($head, "\nbcc:") !== false)
		$faults[] = 'a Bcc';
	return $faults;
}

// ---- cases ----------------------------------------------------------------

$words = ['Order', '#1042', 'Grüße', 'aus', 'München', '日本語のメール', 'и', 'русский',
    '🎉', 'a', 'the', 'Ticket:', '(paid)', '100%', '=', '"quoted"', "it's", '<b>', '</b>',
    'naïve', '&amp;', '.', '..', 'From', '?', '=?', '_', '\\', '-', '…'];
$people = ['Anna', 'Jörg Müller', 'Dr. Who', 'O\'Neil', '名前', 'A. B. (c)', 'x@y', 'Ann: Lee',
    'Żółć gęślą jaźń i bardzo długie nazwisko które się nie mieści w jednym słowie', '', 'plain name'];
$locals = ['a', 'anna', 'j.doe', 'o\'neil', 'x+tag', 'UPPER', 'a_b-c', '1'];
$domains = ['example.org', 'site.test', 'a.b.example.com', 'EXAMPLE.net'];

function sentence(int $n): string
{
	global $words;
	$s = [];
	while ($n-- > 0)
		$s[] = pick($words);
	return implode(' ', $s);
}

function address(): string
{
	global $locals, $domains;
	if (mt_rand(0, 19) === 0)
		return pick(['bad', 'a@', '@b.test', 'a b@c.test', 'root@localhost', 'a@b..c', '<>', 'a@-b.test', '']);
	return pick($locals) . mt_rand(0, 30) . '@' . pick($domains);
}

function mailbox(): string
{
	global $people;
	$name = pick($people);
	switch (mt_rand(0, 3)) {
	case 0:
		return address();
	case 1:
		return "\"$name\" <" . address() . '>';
	default:
		return "$name <" . address() . '>';
	}
}

function list_of(int $max): string
{
	$out = [];
	for ($n = mt_rand(1, $max); $n > 0; $n--)
		$out[] = mailbox();
	return implode(pick([',', ', ', ' ,']), $out);
}

function text(): string
{
	$out = '';
	for ($n = mt_rand(0, 12); $n > 0; $n--) {
		switch (mt_rand(0, 11)) {
		case 0:
			$out .= str_repeat(pick(['x', 'ä', '<b>y</b>']), mt_rand(400, 1500));
			break;
		case 1:
			$out .= pick(['.', '..', '.x', 'From me', '--', '-- ', '  ', "\t", 'a ', '=', '=20', "=\t"]);
			break;
		case 2:
			$out .= pick(['--b1=_x', '--b1', 'Content-Type: text/html', '>From']);
			break;
		default:
			$out .= sentence(mt_rand(0, 14));
		}
		$out .= pick(["\n", "\r\n", "\n\n", "\n", "\r\n"]);
	}
	return $out;
}

function make_case(): array
{
	global $people;
	$c = ['to' => list_of(3), 'subject' => sentence(mt_rand(0, 30)), 'body' => text(),
	    'alternative' => '', 'headers' => [], 'files' => [], 'kind' => 'text', 'injected' => false];
	if ($c['subject'] === '')
		$c['subject'] = 'x';
	if (mt_rand(0, 2) === 0) {
		$c['headers'][] = pick(['Content-Type: text/html', 'content-type: text/html; charset=UTF-8',
		    'Content-Type:text/html; charset="utf-8"']);
		$c['kind'] = 'html';
		if (mt_rand(0, 1)) {
			$c['alternative'] = text() . 'x';
			$c['kind'] = 'alternative';
		}
	} elseif (mt_rand(0, 19) === 0) {
		$c['headers'][] = 'Content-Type: text/plain; charset=ISO-8859-1';
		$c['body'] = mb_convert_encoding(preg_replace('/[^\x00-\xff]/u', '?', $c['body']), 'ISO-8859-1', 'UTF-8');
		$c['kind'] = 'charset';
	}
	if (mt_rand(0, 2) === 0)
		$c['headers'][] = 'From: ' . pick(['', '"', pick($people) . ' ']) . '<' . address() . '>';
	foreach (['Cc', 'Bcc', 'Reply-To'] as $name)
		if (mt_rand(0, 4) === 0)
			$c['headers'][] = pick([$name, strtolower($name)]) . ': ' . list_of(3);
	if (mt_rand(0, 5) === 0)
		$c['headers'][] = pick(['X-Order', 'List-Unsubscribe', 'References', 'X-A-B']) . ': ' .
		    pick([sentence(5), '<https://site.test/?u=1>', sentence(40), str_repeat('abcdefghi ', 30)]);
	for ($n = mt_rand(0, 8) === 0 ? mt_rand(1, 3) : 0; $n > 0; $n--) {
		$c['files'][] = [pick(['ticket', 'Übersicht', '領収書', 'a b', 'x"y', 'semi;colon', 'a\'b',
		    str_repeat('lang-ä', 20)]) . pick(['.pdf', '.txt', '.docx', '', '.PNG', '.ics', '.xyz', '.csv', '.jpeg', '.zip']), '',
		    random_bytes_of(mt_rand(0, 3000))];
		$c['kind'] .= $n === 1 ? ' with files' : '';
	}
	if (mt_rand(0, 9) === 0)
		inject($c);
	return $c;
}

function random_bytes_of(int $n): string
{
	$s = '';
	while (strlen($s) < $n)
		$s .= chr(mt_rand(0, 255));
	return $s;
}

function inject(array &$c): void
{
	$evil = pick(["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\x0b"]) .
	    pick(['Bcc: evil@evil.test', "X-Evil: 1\r\n", 'RCPT TO:<evil@evil.test>', ' evil@evil.test']);
	$c['injected'] = true;
	$c['kind'] = 'injection';
	switch (mt_rand(0, 3)) {
	case 0:
		$c['subject'] .= $evil . 'x';
		break;
	case 1:
		$c['to'] = 'good@site.test, Name' . $evil . ' <a@b.test>';
		break;
	case 2:
		$c['headers'][] = 'X-Header: value' . $evil;
		break;
	case 3:
		$c['headers'][] = 'Reply-To: A <r@site.test' . $evil . '>';
		break;
	}
}

function fixed_cases(): array
{
	$plain = ['to' => 'a@site.test', 'subject' => 'Subject', 'body' => "Body\n", 'alternative' => '',
	    'headers' => [], 'files' => [], 'kind' => 'fixed', 'injected' => false];
	$cases = [];
	foreach ([
	    ['body' => ''], ['to' => '', 'headers' => ['Bcc: b@site.test']], ['to' => '', 'headers' => ['Cc: b@site.test']],
	    ['to' => 'a@site.test,A@SITE.test'], ['to' => ''], ['to' => 'bad'], ['headers' => ['From: bad']],
	    ['headers' => ['From: me@site.test']], ['headers' => ['From: "A" <b@site.test>', 'From: C <d@site.test>']],
	    ['headers' => ['nonsense', 'X-Two: 1', 'X-Two: 2']], ['subject' => str_repeat('ü', 400)],
	    ['headers' => ['Content-Type: text/html;']], ['body' => str_repeat('x', 1200)],
	    ['headers' => ['MIME-Version: 2.0', 'X-Mailer: me']], ['body' => "a\n.\nb\n..\n"],
	    ['headers' => ['Content-Type: text/html'], 'alternative' => 'x', 'files' => [['a.pdf', '', 'x']]],
	] as $change)
		$cases[] = array_merge($plain, $change);
	return $cases;
}

function line_of(array $c): string
{
	$fields = [$c['to'], $c['subject'], $c['body'], $c['alternative'], 'WordPress', 'wordpress@site.test',
	    '1795324986', '<id@site.test>', (string)count($c['headers']), ...$c['headers'], (string)count($c['files'])];
	foreach ($c['files'] as $file)
		array_push($fields, ...$file);
	return implode(' ', array_map(fn($f) => 'x' . bin2hex($f), $fields));
}

$all = fixed_cases();
while (count($all) < $cases)
	$all[] = make_case();
$answers = ask('', array_map('line_of', $all));
foreach ($all as $i => $c) {
	$show = json_encode($c, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
	$php = by_php($c);
	$words = explode(' ', $answers[$i]);
	if ($words[0] !== 'ok') {
		// Stricter with controls; otherwise both refuse.
		tally($c['injected'] ? 'refused injections' : 'refused');
		if ($php !== null && !$c['injected'])
			mismatch($show, 'a mail', $answers[$i]);
		continue;
	}
	[$bytes, $sender, $to] = array_map(fn($w) => hex2bin(substr($w, 1)), array_slice($words, 1, 3));
	$to = $to === '' ? [] : explode(',', $to);
	tally($c['kind']);
	foreach (faults($bytes) as $fault)
		mismatch($show, 'a sound mail', $fault);
	if ($php === null) {
		mismatch($show, 'none', 'a mail');
		continue;
	}
	$want = [apart($php[0], $c['injected']), $php[1], $php[2]];
	$got = [apart($bytes, $c['injected']), $sender, $to];
	if ($want !== $got)
		mismatch($show, json_encode($want, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_UNICODE),
		    json_encode($got, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_UNICODE));
}
finish('mime_mail');
