<?php
/**
 * The PHPMailer that mail.php puts into WordPress' global. It is loaded once
 * core's class is there under the name WPCron_FCGI_Mailer_Parent.
 */

if ( ! class_exists( 'WPCron_FCGI_Mailer_Parent', false ) ) {
	http_response_code( 404 );
	exit;
}

final class WPCron_FCGI_Mailer extends WPCron_FCGI_Mailer_Parent {
	const WPCRON_LINE_MAX = 998;

	private $wpcron_stores = false; // the message was made for the outbox

	/** As wp_mail() makes its own. */
	public static function make() {
		$mailer = new self( true );
		// Used in Message-ID; cron has no server name of its own.
		$host = wp_parse_url( home_url(), PHP_URL_HOST );
		if ( is_string( $host ) && '' !== $host ) {
			$mailer->Hostname = $host;
		}
		self::$validator = static function ( $email ) {
			return (bool) is_email( $email );
		};
		return $mailer;
	}

	/**
	 * As for SMTP: made for mail() the message has its Bcc in the header, and
	 * neither To nor Subject.
	 */
	public function preSend() {
		$this->wpcron_stores = false;
		if ( ! WPCron_FCGI_Mail::is_on() ) {
			return parent::preSend();
		}
		$why = WPCron_FCGI_Mail::chosen( $this->Mailer );
		if ( null === $why ) {
			$why = $this->wpcron_check_from();
		}
		if ( null !== $why ) {
			$this->wpcron_pass( $why, true );
			return parent::preSend();
		}
		$this->wpcron_take_named();
		$transport    = $this->Mailer;
		$this->Mailer = 'smtp';
		try {
			$this->wpcron_stores = parent::preSend();
		} finally {
			$this->Mailer = $transport;
		}
		return $this->wpcron_stores;
	}

	public function postSend() {
		if ( ! $this->wpcron_stores || ! WPCron_FCGI_Mail::is_on() ) {
			return parent::postSend();
		}
		$why = WPCron_FCGI_Mail::take( $this->wpcron_mail() );
		if ( null === $why ) {
			$this->doCallback( true, $this->to, $this->cc, $this->bcc, $this->Subject, $this->Body, $this->From, array() );
			return true;
		}
		$this->wpcron_pass( $why, false );
		// Once more, for the way that WordPress would have gone.
		return parent::preSend() && parent::postSend();
	}

	/**
	 * Recipients that a plugin names in a header of its own: sendmail would
	 * read them there, and take Bcc out.
	 */
	private function wpcron_take_named() {
		foreach ( $this->CustomHeader as $i => $header ) {
			if ( ! preg_match( '/^(?:resent-)?(?:to|cc|(bcc))$/Di', trim( $header[0] ), $is ) ) {
				continue;
			}
			foreach ( $this->parseAddresses( $header[1] ) as $one ) {
				$this->addBCC( $one['address'] );
			}
			if ( isset( $is[1] ) ) {
				unset( $this->CustomHeader[ $i ] );
			}
		}
	}

	/** wp_mail() catches it, and tells of a mail that could not be sent. */
	private function wpcron_pass( $why, $counts ) {
		if ( ! WPCron_FCGI_Mail::pass( $why, $counts ) ) {
			$exception = class_exists( 'PHPMailer\PHPMailer\Exception', false ) ? 'PHPMailer\PHPMailer\Exception' : 'phpmailerException';
			throw new $exception( $why );
		}
	}

	/** Why a From of another domain keeps it out of the outbox, or null. */
	private function wpcron_check_from() {
		$how = WPCron_FCGI_Mail::option( 'foreign_from' );
		if ( 'send' === $how || ! WPCron_FCGI_Mail::is_foreign( $this->From ) ) {
			return null;
		}
		$from = WPCron_FCGI_Mail::option( 'from' );
		if ( 'rewrite' !== $how || null === $from ) {
			return 'its From is of none of from_domains';
		}
		if ( ! $this->getReplyToAddresses() ) {
			$this->addReplyTo( $this->From, $this->FromName );
		}
		$this->From = $from;
		// What core made of the From, or a plugin's: the relay would refuse it.
		if ( WPCron_FCGI_Mail::is_foreign( $this->Sender ) ) {
			$this->Sender = '';
		}
		return null;
	}

	/** What is stored of it. */
	private function wpcron_mail() {
		$recipients = array();
		foreach ( array( $this->to, $this->cc, $this->bcc ) as $list ) {
			foreach ( $list as $address ) {
				$recipients[] = $address[0];
			}
		}
		$sender = WPCron_FCGI_Mail::option( 'envelope_from' );
		if ( null === $sender ) {
			$sender = '' !== (string) $this->Sender ? $this->Sender : $this->From;
		}
		return array(
			'header'     => self::wpcron_lines( rtrim( $this->MIMEHeader, " \r\n\t" ), "\t" ) . "\r\n\r\n",
			'body'       => self::wpcron_lines( $this->MIMEBody, '' ),
			'sender'     => $sender,
			'recipients' => $recipients,
			'subject'    => self::wpcron_cut( preg_replace( '/[\x00-\x1f\x7f]+/', ' ', $this->Subject ), WPCron_FCGI_Mail::SUBJECT_MAX ),
			'message_id' => self::wpcron_cut( $this->getLastMessageID(), WPCron_FCGI_Mail::MESSAGE_ID_MAX ),
			'digest'     => $this->wpcron_digest( $sender, $recipients ),
		);
	}

	/** What a second run of the job makes the same; boundaries and dates differ. */
	private function wpcron_digest( $sender, array $recipients ) {
		$parts = array( $sender, implode( ',', $recipients ), $this->Subject, $this->Body, $this->AltBody );
		foreach ( $this->getAttachments() as $file ) {
			$parts[] = (string) $file[2];
			$parts[] = $file[5] ? hash( 'sha256', $file[0] ) : (string) @hash_file( 'sha256', $file[0] );
		}
		$hash = hash_init( 'sha256' );
		foreach ( $parts as $part ) {
			hash_update( $hash, strlen( (string) $part ) . ':' . $part );
		}
		return hash_final( $hash, true );
	}

	/**
	 * Line ends are CRLF, and no line is longer than a relay takes: PHPMailer's
	 * SMTP would see to that only when sending. `$indent` begins what is broken
	 * off; a list of many recipients is one line.
	 */
	private static function wpcron_lines( $text, $indent ) {
		$crlf = substr_count( $text, "\r\n" );
		if ( substr_count( $text, "\n" ) !== $crlf || substr_count( $text, "\r" ) !== $crlf ) {
			$text = str_replace( "\n", "\r\n", str_replace( array( "\r\n", "\r" ), "\n", $text ) );
		}
		$long = '/(?<![^\n])[^\r\n]{' . ( self::WPCRON_LINE_MAX + 1 ) . ',}/';
		return preg_match( $long, $text ) ? preg_replace_callback(
			$long,
			static function ( $line ) use ( $indent ) {
				return self::wpcron_fold( $line[0], $indent );
			},
			$text
		) : $text;
	}

	/** At the last blank that leaves room, or in the midst of a word. */
	private static function wpcron_fold( $line, $indent ) {
		$folded = '';
		$lead   = '';
		$from   = 0;
		$all    = strlen( $line );
		while ( strlen( $lead ) + $all - $from > self::WPCRON_LINE_MAX ) {
			$head    = $lead . substr( $line, $from, self::WPCRON_LINE_MAX - strlen( $lead ) );
			$at      = strrpos( substr( $head, 2 ), ' ' );
			$at      = false === $at ? self::WPCRON_LINE_MAX : $at + 2;
			$folded .= substr( $head, 0, $at ) . "\r\n";
			$from   += $at - strlen( $lead );
			$from   += ' ' === $line[ $from ] ? 1 : 0;
			$lead    = $indent;
		}
		return $folded . $lead . substr( $line, $from );
	}

	/** At most `$max` bytes, none of them half a character. */
	private static function wpcron_cut( $text, $max ) {
		$text = (string) $text;
		return strlen( $text ) <= $max ? $text : preg_replace( '/[\xc0-\xff][\x80-\xbf]*$/D', '', substr( $text, 0, $max ) );
	}
}
